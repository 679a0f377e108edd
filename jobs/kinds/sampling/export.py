"""The files an experiment leaves: samples.parquet, problems.csv and coverage.csv.

The runner has no database, so the samples leave it on the supervisor's side: ``export_job`` streams them in batches,
each a short query of its own, straight into the Parquet file that becomes the artifact. A million samples never are
in memory together, and no long read transaction keeps SQLite's log or PostgreSQL's dead rows alive. The two small
tables travel inside the job and are written by the runner.

Writing them takes longer than a lease when there are millions, so each batch extends it.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.kinds.sampling.curve import measured_curve, tries_of

if TYPE_CHECKING:
    from jobs.kinds.base import Context
    from jobs.models import Experiment, Shard

_BATCH = 5_000
_COLUMNS = (
    "problem",
    "problem_id",
    "index",
    "seed",
    "tokens",
    "logprob",
    "self_certainty",
    "score",
    "finish",
    "verdict",
    "answer",
    "canonical",
    "reason",
    "level",
    "text",
)
_ELSEWHERE = {"problem": "problem__index", "problem_id": "problem__uid", "score": "reward", "text": "body__text"}
_FIELDS = [_ELSEWHERE.get(name, name) for name in _COLUMNS]
_PROBLEM_COLUMNS = (
    "index", "uid", "question", "answer", "n", "c", "errors", "timeouts", "tokens", "first_correct", "extra_n",
    "extra_c",
)  # fmt: skip


# --- supervisor's side ------------------------------------------------------------------------------------------------


def export_folder(data_dir: Path, experiment_code: Any) -> Path:
    return data_dir / "exports" / str(experiment_code)


def export_job(shard: Shard) -> dict[str, Any]:
    """Write the samples to disk and name the file in the job. Raises LeaseLost when the shard was taken away."""
    from django.conf import settings

    from jobs.kinds.sampling.models import Problem
    from jobs.kinds.sampling.stopping import settled
    from jobs.leases import Lease, extend

    folder = export_folder(settings.DATA_DIR, shard.experiment.code)
    folder.mkdir(parents=True, exist_ok=True)
    lease = Lease.of(shard)
    _write_parquet(folder / "samples.parquet", shard.experiment, each_batch=lambda: extend(lease))
    problems = Problem.objects.filter(experiment_id=shard.experiment_id).order_by("index")
    return {
        "done": 0,
        "folder": str(folder),
        "settled": settled(shard.experiment),
        "problems": [list(row) for row in problems.values_list(*_PROBLEM_COLUMNS)],
    }


def _write_parquet(path: Path, experiment: Experiment, each_batch: Callable[[], None]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    integers, text = pa.int64(), pa.string()
    types = [integers, text, integers, integers, integers, *[pa.float64()] * 3, *[text] * 7]
    schema = pa.schema(list(zip(_COLUMNS, types, strict=True)))
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in _batches(experiment):
            each_batch()
            columns = zip(*rows, strict=True)
            arrays = [pa.array(column, type=kind) for column, kind in zip(columns, types, strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=schema))


def _batches(experiment: Experiment) -> Iterator[Sequence[tuple[Any, ...]]]:
    """All samples in the order of their primary keys, a page after the last one seen."""
    from jobs.kinds.sampling.models import Sample
    from jobs.kinds.sampling.rewards import with_reward

    last = 0
    while True:
        samples = with_reward(Sample.objects.filter(experiment=experiment, pk__gt=last), experiment)
        page = list(samples.order_by("pk").values_list("pk", *_FIELDS)[:_BATCH])
        if not page:
            return
        last = page[-1][0]
        yield [row[1:] for row in page]


# --- runner's side ----------------------------------------------------------------------------------------------------


def write_tables(job: dict[str, Any], context: Context) -> None:
    """Write the two tables beside the samples and keep all three files."""
    folder = Path(job["folder"])
    _write_csv(folder / "problems.csv", _PROBLEM_COLUMNS, job["problems"])
    n, c, extra_n, extra_c, first = (
        [row[_PROBLEM_COLUMNS.index(name)] for row in job["problems"]]
        for name in ("n", "c", "extra_n", "extra_c", "first_correct")
    )
    # Extra draws looked at c: with them the estimate would be biased.
    n, c = ([all - extra for all, extra in zip(*pair, strict=True)] for pair in ((n, extra_n), (c, extra_c)))
    settled = job["settled"]
    reach = min(n, default=0) if settled is None else settled
    curve = measured_curve(n, c, tries_of(first), settled, np.arange(1, reach + 1) if n else [])
    rows = zip(curve.k, curve.coverage, curve.lo, curve.hi, curve.problems, strict=True)
    _write_csv(folder / "coverage.csv", ("k", "coverage", "lo", "hi", "problems"), rows)
    files = {
        "samples.parquet": "application/vnd.apache.parquet",
        "problems.csv": "text/csv",
        "coverage.csv": "text/csv",
    }
    for done, (name, content_type) in enumerate(files.items(), start=1):
        context.artifact(folder / name, name, content_type)
        context.progress(done)
    context.row({"exported": True})  # after the files: SamplingKind.record may now drop the drafts


def _write_csv(path: Path, header: Sequence[str], rows: Any) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
