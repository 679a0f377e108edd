"""Results made elsewhere become an experiment: its one shard reads the uploaded file.

The runner reads the whole file first, so a file with a mistake leaves no half of itself behind. What it read lies in
numbered parts on the disk of this worker; the supervisor then inserts one part in each transaction. A part is there as
a whole or not at all, and names the number of samples before it: done twice, it changes nothing, and a second attempt
goes on where the first one ended. In memory is never more than a part.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.exchange import ExchangeError, Limits, Numbered, Options, Source, get_format, read_results, uid_of
from engine.exchange.formats.inspect_log import model_of
from engine.problems import MAX_ANSWER, MAX_QUESTION
from engine.verification.gsm8k import canonical_number

if TYPE_CHECKING:
    from jobs.kinds.base import Context, Row
    from jobs.models import Shard

PART_SAMPLES = 20_000
PART_CHARACTERS = 16_000_000  # of texts
# Reading is the smaller half of the work: from here on the bar counts what is stored.
_READ_PERCENT = 35
_LONGEST_CELL, _LONGEST_FINISH = 200, 10


def source_name(file: str) -> str:
    """The artifact that keeps the uploaded file."""
    return f"imported-{file}"[-120:]


# --- supervisor's side ------------------------------------------------------------------------------------------------


def import_folder(data_dir: Path, experiment_code: Any) -> Path:
    return data_dir / "imports" / str(experiment_code)


def import_job(shard: Shard) -> dict[str, Any]:
    """Where the runner finds the file, and how many of its samples are there already. Raises LeaseLost."""
    from django.conf import settings
    from django.db.models import Sum

    experiment = shard.experiment
    imported = experiment.spec["imported"]
    folder = import_folder(settings.DATA_DIR, experiment.code)
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "done": 0,
        "path": str(_local_copy(shard, folder)),
        "folder": str(folder),
        "file": imported["file"],
        "format": imported["format"],
        "score": imported.get("score", ""),
        "filter": imported.get("filter", ""),
        "stored": experiment.problems.aggregate(total=Sum("drawn"))["total"] or 0,
    }


def _local_copy(shard: Shard, folder: Path) -> Path:
    """The uploaded file on this machine; from a remote storage it is fetched, which may take longer than a lease."""
    from jobs.leases import Lease, extend

    file = shard.experiment.artifacts.get(name=source_name(shard.experiment.spec["imported"]["file"])).file
    try:
        return Path(file.path)
    except NotImplementedError:
        pass
    target, lease = folder / "source", Lease.of(shard)
    with file.open("rb") as remote, target.open("wb") as local:
        for chunk in remote.chunks(4 * 2**20):
            local.write(chunk)
            extend(lease)
    return target


def record_parts(shard: Shard, rows: Sequence[Row], seq: int) -> int:
    """Store what the runner's rows announce, in order: what was found, then parts, then the end."""
    from django.conf import settings
    from django.db import transaction

    folder = import_folder(settings.DATA_DIR, shard.experiment.code)
    for row in rows:
        if "found" in row:
            _record_found(shard, row["found"])
        elif "part" in row:
            _record_part(shard, _part(folder, row["part"]), row["before"], seq)
        else:
            transaction.on_commit(lambda: shutil.rmtree(folder, ignore_errors=True))
    return 0  # the shard's progress is the runner's percentage


def _record_found(shard: Shard, found: dict[str, Any]) -> None:
    """What the file as a whole tells belongs to the settings: samples a problem, its format, the model it names."""
    from jobs.models import Experiment

    experiment = Experiment.objects.get(pk=shard.experiment_id)
    imported = experiment.spec["imported"] | {"format": found["format"]}
    changes = {"samples": found["samples"], "imported": imported}
    if found["model"] and "model" not in experiment.spec:
        changes["model"] = found["model"]
    Experiment.objects.filter(pk=experiment.pk).update(spec=experiment.spec | changes)


def _record_part(shard: Shard, path: Path, before: int, seq: int) -> None:
    from django.db.models import Sum

    from jobs.kinds.sampling.bulk import NewSample, insert_samples, raise_counters
    from jobs.kinds.sampling.models import Problem

    problems = Problem.objects.filter(experiment_id=shard.experiment_id)
    stored = problems.aggregate(total=Sum("drawn"))["total"] or 0
    if stored != before:
        return  # a repeated flush: this part is there already
    part = json.loads(path.read_bytes())
    Problem.objects.bulk_create(
        (
            Problem(experiment_id=shard.experiment_id, index=index, uid=uid, question=question, answer=gold)
            for index, uid, question, gold in part["problems"]
        ),
        batch_size=1_000,
    )
    keys = dict(problems.filter(index__in=set(part["problem"])).values_list("index", "pk"))
    columns = [
        [keys[index] for index in part["problem"]],
        *(part[name] for name in NewSample._fields[1:] if name in part),
    ]
    insert_samples(shard.experiment_id, [NewSample(*row) for row in zip(*columns, strict=True)])
    raise_counters(_increments(columns[0], part["verdict"], part["tokens"]), seq)


def _increments(
    problems: Sequence[int], verdicts: Sequence[str], tokens: Sequence[int | None]
) -> dict[int, dict[str, int]]:
    """What each problem's counters grow by."""
    found: dict[int, dict[str, int]] = defaultdict(
        lambda: dict.fromkeys(("n", "c", "errors", "timeouts", "drawn", "tokens"), 0)
    )
    for problem, verdict, length in zip(problems, verdicts, tokens, strict=True):
        more = found[problem]
        more["n"] += 1
        more["drawn"] += 1
        more["tokens"] += length or 0
        if verdict == "correct":
            more["c"] += 1
        elif verdict != "wrong":
            more["errors"] += 1
            more["timeouts"] += verdict == "timeout"
    return found


# --- runner's side ----------------------------------------------------------------------------------------------------


def import_file(job: dict[str, Any], context: Context) -> None:
    """Read the file into parts, then announce these in order. Raises ExchangeError for a file that is wrong."""
    folder = Path(job["folder"])
    source = Source(Path(job["path"]), job["file"], Limits())
    options = Options(job["score"], job["filter"])
    try:
        chosen = get_format(job["format"], source)
    except ExchangeError as error:
        raise ExchangeError(f"{job['file']}: {error}") from None
    parts = _Parts(folder)
    try:
        is_whole = _read(read_results(source, format=chosen.name, options=options), parts, source, context)
    except ExchangeError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if not is_whole:
        shutil.rmtree(folder, ignore_errors=True)
        return
    context.log(
        f"{job['file']} ({chosen.title}) holds {parts.total:,} samples of {len(parts.counts):,} problems, none refused."
    )
    model = model_of(source) if chosen.name == "inspect" else ""
    context.row({"found": {"format": chosen.name, "samples": max(parts.counts.values()), "model": model[:300]}})
    before = 0
    for number, size in enumerate(parts.sizes):
        if before >= job["stored"]:
            context.row({"part": number, "before": before})
        before += size
        context.progress(_READ_PERCENT + (100 - _READ_PERCENT) * before // parts.total)
        if context.cancelled:
            return
    context.row({"stored": True})  # the parts may go


def _read(samples: Iterator[Numbered], parts: _Parts, source: Source, context: Context) -> bool:
    """Read everything into parts; False when the shard was cancelled before the end."""
    for sample in samples:
        parts.add(sample)
        if parts.is_full:
            parts.write()
            context.progress(int(_READ_PERCENT * source.share_read))
            if context.cancelled:
                return False
    parts.write()
    return True


def _part(folder: Path, number: int) -> Path:
    return folder / f"part-{int(number):06}.json"


class _Parts:
    """Collects samples in columns and writes them to numbered files."""

    def __init__(self, folder: Path) -> None:
        self.sizes: list[int] = []
        self.counts: dict[int, int] = defaultdict(int)
        self.total = 0
        self._folder = folder
        self._canonical: dict[str, str] = {}
        self._clear()

    def _clear(self) -> None:
        self._problems: list[tuple[int, str, str, str]] = []
        self._rows: list[tuple[Any, ...]] = []
        self._characters = 0

    @property
    def is_full(self) -> bool:
        return len(self._rows) >= PART_SAMPLES or self._characters >= PART_CHARACTERS

    def add(self, sample: Numbered) -> None:
        record = sample.record
        if sample.is_new:
            gold = record.gold if len(record.gold) <= MAX_ANSWER else ""
            question = record.question or record.problem
            self._problems.append((sample.problem, uid_of(record.problem), _cut(question, MAX_QUESTION), gold))
        self.counts[sample.problem] += 1
        self._characters += len(record.text or "")
        self._rows.append(
            (
                sample.problem,
                sample.sample,
                record.tokens,
                record.logprob,
                record.self_certainty,
                record.score,
                record.finish[:_LONGEST_FINISH],
                record.outcome,
                _cut(record.answer, _LONGEST_CELL),
                _cut(record.canonical or self._canonical_form(record.answer), _LONGEST_CELL),
                _cut(record.reason, _LONGEST_CELL),
                record.text,
            )
        )

    def write(self) -> None:
        """Write what was collected as the next part."""
        if not self._rows:
            return
        names = (
            "problem",
            "sample",
            "tokens",
            "logprob",
            "self_certainty",
            "score",
            "finish",
            "verdict",
            "answer",
            "canonical",
            "reason",
            "text",
        )
        columns = dict(zip(names, zip(*self._rows, strict=True), strict=True))
        path = _part(self._folder, len(self.sizes))
        path.write_text(json.dumps({"problems": self._problems, **columns}))
        self.sizes.append(len(self._rows))
        self.total += len(self._rows)
        self._clear()

    def _canonical_form(self, answer: str) -> str:
        """Equal numbers share a form; other answers are equal when their texts are."""
        if answer not in self._canonical:
            if len(self._canonical) > 100_000:
                self._canonical.clear()
            self._canonical[answer] = canonical_number(answer)
        return self._canonical[answer]


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
