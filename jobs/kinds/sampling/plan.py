"""How an experiment's samples are cut into shards. Pure functions: no database.

A shard is a block of problems times a block of sample indices. Shards are ordered by sample block first, so that
every problem gets its first samples early and the live curve grows to the right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.kinds.base import ShardPlan, StagePlan

GENERATE, GRADE, SCORE, EXPORT, IMPORT = "generate", "grade", "score", "export", "import"

# Small shards show first points soon and spread over many workers; in large ones the engine's batch stays full for
# longer between its start and end, and more samples share a problem's prompt. What a lost shard had drawn is kept.
SMALLEST_SHARD, LARGEST_SHARD = 256, 8_192  # samples
_WANTED_SHARDS = 16
# More problems a shard than this would mean fewer samples that share a problem's prompt.
MAX_PROBLEM_BLOCK = 64


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

    def payload(self) -> dict[str, Any]:
        return {
            "problems": [self.first_problem, self.last_problem],
            "samples": [self.first_sample, self.last_sample],
        }

    @classmethod
    def from_payload(cls, payload: dict[str, Any]) -> Block:
        return cls(*payload["problems"], *payload["samples"])


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


def stages(
    problems: int,
    samples: int,
    existing: Sequence[Block] = (),
    *,
    generate_queue: str = "gpu",
    growing: bool = False,
    scorer: str = "",
) -> list[StagePlan]:
    """The stages for ``samples`` of each of ``problems``.

    ``existing`` are the blocks planned before, in order; they come first and unchanged, and new blocks start where
    they end. So a longer plan begins with the shorter one, whatever the number of samples was then. A model behind
    an endpoint needs no GPU: its samples are drawn on the "cpu" queue. With a scorer graded samples are scored too.
    """
    start = max((block.last_sample for block in existing), default=0)
    planned = [*existing, *blocks(problems, samples, start, growing=growing)]
    shards = [ShardPlan(block.payload(), block.size) for block in planned]
    return [
        StagePlan(GENERATE, queue=generate_queue, unit="samples", shards=shards),
        StagePlan(GRADE, queue="cpu", unit="samples", pairwise=True, shards=shards),
        *_scoring(planned, scorer, pairwise=True),
        StagePlan(EXPORT, queue="cpu", unit="files", shards=[ShardPlan({}, 3)]),
    ]


def import_stages(problems: int, samples: int, *, graded_here: bool, scorer: str = "") -> list[StagePlan]:
    """The stages of an import: read the file, then write the files that every experiment leaves.

    ``graded_here``: the file's verdicts were replaced by a verifier's, so there are grade shards.
    """
    planned = list(blocks(problems, samples))
    grading = [ShardPlan(block.payload(), block.size) for block in planned] if graded_here else []
    return [
        StagePlan(IMPORT, queue="cpu", unit="%", shards=[ShardPlan({}, 100)]),
        StagePlan(GRADE, queue="cpu", unit="samples", shards=grading),
        *_scoring(planned, scorer, pairwise=False),
        StagePlan(EXPORT, queue="cpu", unit="files", shards=[ShardPlan({}, 3)]),
    ]


def _scoring(planned: Sequence[Block], scorer: str, *, pairwise: bool) -> list[StagePlan]:
    """The stage of a scorer; none without one. Its shards name it: with another one they are done again.

    A worker takes shards in the order of the stages, so one that is alone draws everything before it loads the
    scorer, and models do not change places on its GPU with every shard.
    """
    if not scorer:
        return []
    shards = [ShardPlan(block.payload() | {"scorer": scorer}, block.size) for block in planned]
    return [StagePlan(SCORE, queue="gpu", unit="samples", pairwise=pairwise, shards=shards)]
