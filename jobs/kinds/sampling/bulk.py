"""Writes many samples and verdicts at once, past the ORM: its objects would cost more than the database does.

Call inside a transaction that holds the experiment's row lock; the key of every sample inserted must be new.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from django.db import connection
from django.utils import timezone

from jobs.kinds.sampling.models import Problem, Sample, SampleText

_COLUMNS = (
    "experiment_id", "problem_id", "index", "seed", "tokens", "logprob", "self_certainty", "score", "finish",
    "verdict", "answer", "canonical", "reason", "level", "created_at",
)  # fmt: skip
_VERDICT_COLUMNS = ("verdict", "answer", "canonical", "reason", "grade_seconds", "level")


class NewSample(NamedTuple):
    problem: int  # primary key
    sample: int  # index within the problem
    tokens: int | None
    logprob: float | None
    self_certainty: float | None
    score: float | None
    finish: str
    verdict: str
    answer: str
    canonical: str
    reason: str
    text: str | None
    seed: int | None = None


class NewVerdict(NamedTuple):
    verdict: str
    answer: str
    canonical: str
    reason: str
    seconds: float
    level: str
    sample: int  # primary key


def insert_samples(experiment_id: int, samples: Sequence[NewSample]) -> Sequence[int]:
    """Insert samples and their texts; their primary keys, in order."""
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    keys = _free_keys(len(samples))
    write = _copy if connection.vendor == "postgresql" else _execute
    rows = ((key, experiment_id, s[0], s[1], s.seed, *s[2:11], "", now) for key, s in zip(keys, samples, strict=True))
    write(Sample._meta.db_table, ("id", *_COLUMNS), rows)
    texts = ((key, sample.text) for key, sample in zip(keys, samples, strict=True) if sample.text is not None)
    write(SampleText._meta.db_table, ("sample_id", "text"), texts)
    return keys


def _free_keys(count: int) -> Sequence[int]:
    """Primary keys that nobody else gets."""
    table = Sample._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            sequence = "pg_get_serial_sequence(%s, 'id')"
            cursor.execute(f"SELECT nextval({sequence}) FROM generate_series(1, %s)", [table, count])
            return [row[0] for row in cursor.fetchall()]
        # SQLite has one writer at a time, and this transaction is it. The sequence remembers deleted rows.
        cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [table])
        last = (cursor.fetchone() or (0,))[0]
    return range(last + 1, last + 1 + count)


def set_verdicts(verdicts: Iterable[NewVerdict]) -> None:
    """Write the verdicts of samples that exist."""
    quote = connection.ops.quote_name
    sets = ", ".join(f"{quote(name)} = %s" for name in _VERDICT_COLUMNS)
    with connection.cursor() as cursor:
        cursor.executemany(f"UPDATE {quote(Sample._meta.db_table)} SET {sets} WHERE id = %s", list(verdicts))


def raise_counters(increments: Mapping[int, Mapping[str, int]], seq: int | None = None) -> None:
    """Add to counters of problems, by primary key, all the same ones; ``seq`` stamps the problems."""
    quote = connection.ops.quote_name
    names = list(next(iter(increments.values()), {}))
    sets = [f"{quote(name)} = {quote(name)} + %s" for name in names]
    stamp = [] if seq is None else [seq]
    sets += [f"{quote('seq')} = %s"] * len(stamp)
    statement = f"UPDATE {quote(Problem._meta.db_table)} SET {', '.join(sets)} WHERE id = %s"
    rows = [(*(more[name] for name in names), *stamp, key) for key, more in increments.items()]
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(statement, rows)


def _execute(table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    quote = connection.ops.quote_name
    names, marks = ", ".join(map(quote, columns)), ", ".join(["%s"] * len(columns))
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {quote(table)} ({names}) VALUES ({marks})", list(rows))


def _copy(table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    quote = connection.ops.quote_name
    names = ", ".join(map(quote, columns))
    with connection.cursor() as cursor, cursor.copy(f"COPY {quote(table)} ({names}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
