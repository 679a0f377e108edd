"""How an experiment's samples are cut into shards. Pure functions: no database.

A shard is a block of problems times a block of sample indices. Shards are ordered by sample block first, so that
every problem gets its first samples early and the live curve grows to the right. Where problems do not all go up to the
same sample ("draw more where it helps"), a shard is ragged: each of its problems has a range of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from jobs.kinds.base import ShardPlan, StagePlan

GENERATE, GRADE, SCORE, EXPORT, IMPORT = "generate", "grade", "score", "export", "import"

# Small shards show first points soon and spread over many workers; in large ones the engine's batch stays full for
# longer between its start and end, and more samples share a problem's prompt. What a lost shard had drawn is kept.
SMALLEST_SHARD, LARGEST_SHARD = 256, 8_192  # samples
_WANTED_SHARDS = 16
# More problems a shard than this would mean fewer samples that share a problem's prompt.
MAX_PROBLEM_BLOCK = 64


class Part(NamedTuple):
    """Sample indices [first, last) of each of ``problems``."""

    problems: Sequence[int]
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Block:
    """Problems [first_problem, last_problem) times sample indices [first_sample, last_sample)."""

    first_problem: int
    last_problem: int
    first_sample: int
    last_sample: int

    @property
    def size(self) -> int:
        return (self.last_problem - self.first_problem) * (self.last_sample - self.first_sample)

    @property
    def parts(self) -> Sequence[Part]:
        return (Part(range(self.first_problem, self.last_problem), self.first_sample, self.last_sample),)

    def payload(self) -> dict[str, Any]:
        return {
            "problems": [self.first_problem, self.last_problem],
            "samples": [self.first_sample, self.last_sample],
        }


@dataclass(frozen=True, slots=True)
class Ragged:
    """Some problems, each with its own range of sample indices; those with the same range share a part."""

    parts: tuple[Part, ...]

    @classmethod
    def of(cls, ranges: Mapping[int, tuple[int, int]]) -> Ragged:
        """From problem -> [first, last)."""
        together: dict[tuple[int, int], list[int]] = {}
        for problem, (first, last) in ranges.items():
            together.setdefault((first, last), []).append(problem)
        return cls(tuple(Part(tuple(problems), first, last) for (first, last), problems in together.items()))

    @property
    def size(self) -> int:
        return sum(len(part.problems) * (part.last - part.first) for part in self.parts)

    def payload(self) -> dict[str, Any]:
        return {"parts": [[list(part.problems), part.first, part.last] for part in self.parts]}


Work = Block | Ragged


def work_of(payload: Mapping[str, Any]) -> Work:
    """What a shard is to do; the inverse of ``payload``."""
    if "parts" in payload:
        return Ragged(tuple(Part(tuple(problems), first, last) for problems, first, last in payload["parts"]))
    return Block(*payload["problems"], *payload["samples"])


def shard_samples(total: int) -> int:
    """Samples of one shard when ``total`` are drawn."""
    return min(LARGEST_SHARD, max(SMALLEST_SHARD, total // _WANTED_SHARDS))


def blocks(problems: int, samples: int, start: int = 0, *, growing: bool = False) -> Iterator[Block]:
    """Cut problems x [start, samples) into blocks of about ``shard_samples``, ordered by sample index.

    The very first row of blocks is a quarter as wide, so that a page shows its first point sooner. ``growing``: rows
    begin as narrow as a useful shard allows and double, because those that follow may not be needed.
    """
    if problems < 1:
        return
    height, width = block_shape(problems, samples - start)
    least = max(1, SMALLEST_SHARD // height)
    first = start
    while first < samples:
        if growing:
            step = min(width, max(least, first))
        else:
            step = width if first else max(1, width // 4)
        last = min(samples, first + step)
        for top in range(0, problems, height):
            yield Block(top, min(problems, top + height), first, last)
        first = last


def block_shape(problems: int, samples: int) -> tuple[int, int]:
    """(problems, samples of each) of a block, at most: what one call of the engine draws."""
    height = -(-problems // -(-problems // MAX_PROBLEM_BLOCK))  # 100 problems are two blocks of 50, not 64 and 36
    return height, max(1, shard_samples(problems * samples) // height)


def ragged(ranges: Mapping[int, tuple[int, int]]) -> Iterator[Ragged]:
    """Cut problem -> [first, last) into shards of about ``shard_samples``, ordered so that every problem gets its first
    samples early; few problems with many samples left get longer stretches."""
    size = shard_samples(sum(last - first for first, last in ranges.values()))
    left = {problem: span for problem, span in sorted(ranges.items()) if span[0] < span[1]}
    while left:
        groups = -(-len(left) // MAX_PROBLEM_BLOCK)
        height = -(-len(left) // groups)
        width = max(1, size // height)
        problems = list(left)
        for top in range(0, len(problems), height):
            group = problems[top : top + height]
            yield Ragged.of({each: (left[each][0], min(left[each][1], left[each][0] + width)) for each in group})
        left = {each: (first + width, last) for each, (first, last) in left.items() if first + width < last}


def works(
    problems: int,
    samples: int,
    extra: Sequence[Mapping[int, int]] = (),
    existing: Sequence[Work] = (),
    *,
    growing: bool = False,
) -> list[Work]:
    """``existing``, unchanged, and after it what is missing: ``samples`` of every problem, then for each extra draw
    (problem -> samples in all) what its problems do not have by then."""
    planned = list(existing)
    covered = [0] * problems
    for part in (part for work in planned for part in work.parts):
        for problem in part.problems:
            covered[problem] = max(covered[problem], part.last)
    if len(set(covered)) <= 1:
        start = max(covered, default=0)
        planned += blocks(problems, samples, start, growing=growing)
    else:
        planned += ragged({problem: (first, samples) for problem, first in enumerate(covered)})
    covered = [max(samples, first) for first in covered]
    for targets in extra:
        planned += ragged({problem: (covered[problem], last) for problem, last in targets.items()})
        for problem, last in targets.items():
            covered[problem] = max(covered[problem], last)
    return planned


def samples_planned(problems: int, samples: int, extra: Sequence[Mapping[int, int]] = ()) -> list[int]:
    """Of each problem, in order."""
    planned = [samples] * problems
    for targets in extra:
        for problem, last in targets.items():
            planned[problem] = max(planned[problem], last)
    return planned


def stages(
    problems: int,
    samples: int,
    extra: Sequence[Mapping[int, int]] = (),
    existing: Sequence[Work] = (),
    *,
    generate_queue: str = "gpu",
    growing: bool = False,
    scorer: str = "",
) -> list[StagePlan]:
    """The stages for ``samples`` of each of ``problems`` and the ``extra`` draws.

    ``existing`` is the work planned before, in order; it comes first and unchanged, and new shards start where it ends.
    So a longer plan begins with the shorter one, whatever was asked for then. A model behind an endpoint needs no GPU:
    its samples are drawn on the "cpu" queue. With a scorer graded samples are scored too.
    """
    shards = [
        ShardPlan(work.payload(), work.size) for work in works(problems, samples, extra, existing, growing=growing)
    ]
    return [
        StagePlan(GENERATE, queue=generate_queue, unit="samples", shards=shards),
        StagePlan(GRADE, queue="cpu", unit="samples", pairwise=True, shards=shards),
        *_scoring(shards, scorer, pairwise=True),
        StagePlan(EXPORT, queue="cpu", unit="files", shards=[ShardPlan({}, 3)]),
    ]


def import_stages(problems: int, samples: int, *, graded_here: bool, scorer: str = "") -> list[StagePlan]:
    """The stages of an import: read the file, then write the files that every experiment leaves.

    ``graded_here``: the file's verdicts were replaced by a verifier's, so there are grade shards.
    """
    planned = [ShardPlan(block.payload(), block.size) for block in blocks(problems, samples)]
    grading = planned if graded_here else []
    return [
        StagePlan(IMPORT, queue="cpu", unit="%", shards=[ShardPlan({}, 100)]),
        StagePlan(GRADE, queue="cpu", unit="samples", shards=grading),
        *_scoring(planned, scorer, pairwise=False),
        StagePlan(EXPORT, queue="cpu", unit="files", shards=[ShardPlan({}, 3)]),
    ]


def _scoring(planned: Sequence[ShardPlan], scorer: str, *, pairwise: bool) -> list[StagePlan]:
    """The stage of a scorer; none without one. Its shards name it: with another one they are done again.

    A worker takes shards in the order of the stages, so one that is alone draws everything before it loads the
    scorer, and models do not change places on its GPU with every shard.
    """
    if not scorer:
        return []
    shards = [ShardPlan(shard.payload | {"scorer": scorer}, shard.total) for shard in planned]
    return [StagePlan(SCORE, queue="gpu", unit="samples", pairwise=pairwise, shards=shards)]
