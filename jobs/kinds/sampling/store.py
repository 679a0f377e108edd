"""Writes a runner's rows. Called inside a transaction that holds the experiment's row lock, so counters are exact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from django.db.models import F

from engine.problems import Problem as ProblemText
from jobs.kinds.base import Row
from jobs.kinds.sampling.models import Problem, Sample, SampleText, Score, Scorer, Verdict
from jobs.kinds.sampling.plan import Block
from jobs.models import Experiment, Shard

# SQLite takes at most 32,766 parameters a statement and a sample has 16 columns.
_BATCH = 1_000
_VERDICT_FIELDS = ("verdict", "answer", "canonical", "reason", "grade_seconds", "level")


def create_problems(experiment: Experiment, problems: Sequence[ProblemText]) -> None:
    rows = (
        Problem(
            experiment=experiment,
            index=index,
            uid=problem.uid,
            question=problem.question,
            answer=problem.answer,
            checks=problem.checks,
        )
        for index, problem in enumerate(problems)
    )
    Problem.objects.bulk_create(rows, batch_size=_BATCH)


def problems_of(shard: Shard) -> dict[int, Problem]:
    """The problems of a shard's block by index."""
    block = Block.from_payload(shard.payload)
    rows = Problem.objects.filter(
        experiment_id=shard.experiment_id, index__gte=block.first_problem, index__lt=block.last_problem
    )
    return {problem.index: problem for problem in rows}


def record_samples(shard: Shard, rows: Sequence[Row]) -> int:
    """Insert the samples that are not there yet; return how many that were.

    Rows: {"problem": index, "index", "seed", "tokens", "logprob", "finish", "text"}, from models of our own also
    "self_certainty", from endpoints "prompt_tokens".
    """
    problems = problems_of(shard)
    wanted: dict[tuple[int, int], Row] = {}
    for row in rows:
        wanted.setdefault((problems[row["problem"]].pk, row["index"]), row)
    existing = _primary_keys(wanted)
    new = {key: row for key, row in wanted.items() if key not in existing}
    if not new:
        return 0
    # "Do nothing" on conflict makes the unique key, not the look-up above, the last word.
    Sample.objects.bulk_create(
        [_sample(shard.experiment_id, key, row) for key, row in new.items()], batch_size=_BATCH, ignore_conflicts=True
    )
    primary_keys = _primary_keys(new)
    texts = [SampleText(sample_id=primary_keys[key], text=_storable(row["text"])) for key, row in new.items()]
    SampleText.objects.bulk_create(texts, batch_size=_BATCH, ignore_conflicts=True)
    by_pk = {problem.pk: problem for problem in problems.values()}
    for (problem_pk, _), row in new.items():
        by_pk[problem_pk].drawn += 1
        by_pk[problem_pk].tokens += row["tokens"] or 0
        by_pk[problem_pk].prompt_tokens += row.get("prompt_tokens", 0)
    _upsert([by_pk[pk] for pk in {pk for pk, _ in new}], ("drawn", "tokens", "prompt_tokens"))
    return len(new)


def _primary_keys(keys: Collection[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """(problem's primary key, sample index) -> sample's primary key, for those of ``keys`` that exist."""
    found = Sample.objects.filter(
        problem_id__in={problem for problem, _ in keys}, index__in={index for _, index in keys}
    ).values_list("problem_id", "index", "pk")
    return {(problem, index): pk for problem, index, pk in found}


def _sample(experiment_id: int, key: tuple[int, int], row: Row) -> Sample:
    return Sample(
        experiment_id=experiment_id,
        problem_id=key[0],
        index=key[1],
        seed=row["seed"],
        tokens=row["tokens"],
        logprob=row["logprob"],
        self_certainty=row.get("self_certainty"),
        finish=row["finish"],
    )


def record_verdicts(shard: Shard, rows: Sequence[Row], seq: int) -> int:
    """Give samples that have no verdict yet theirs; return how many those were. A second verdict changes nothing.

    Rows: {"sample": primary key, "outcome", "answer", "canonical", "reason", "seconds", "level"}.
    """
    verdicts: dict[int, Row] = {}
    for row in rows:
        verdicts.setdefault(row["sample"], row)
    pending = list(Sample.objects.filter(pk__in=verdicts, experiment_id=shard.experiment_id, verdict=Verdict.PENDING))
    if not pending:
        return 0
    for sample in pending:
        row = verdicts[sample.pk]
        sample.verdict = Verdict(row["outcome"])
        sample.answer, sample.canonical, sample.reason = (
            _storable(row[name])[:200] for name in ("answer", "canonical", "reason")
        )
        sample.grade_seconds = row["seconds"]
        sample.level = row["level"]
    _upsert(pending, _VERDICT_FIELDS)
    _count_verdicts(pending, seq)
    return len(pending)


def record_scores(shard: Shard, rows: Sequence[Row]) -> int:
    """Give samples the score of the shard's scorer unless they have it; return how many had none.

    Rows: {"sample": primary key, "score"}.
    """
    scorer, _ = Scorer.objects.get_or_create(experiment_id=shard.experiment_id, name=shard.payload["scorer"])
    values = {row["sample"]: float(row["score"]) for row in rows}
    known = set(scorer.scores.filter(sample__in=values).values_list("sample_id", flat=True))
    own = Sample.objects.filter(pk__in=values.keys() - known, experiment_id=shard.experiment_id)
    new = [Score(scorer=scorer, sample_id=pk, value=values[pk]) for pk in own.values_list("pk", flat=True)]
    Score.objects.bulk_create(new, batch_size=_BATCH, ignore_conflicts=True)
    Scorer.objects.filter(pk=scorer.pk).update(scored=F("scored") + len(new))
    return len(new)


def _count_verdicts(graded: Sequence[Sample], seq: int) -> None:
    """Add the new verdicts to their problems' counters and stamp those problems."""
    counts = Counter((sample.problem_id, sample.verdict) for sample in graded)
    problems = list(Problem.objects.filter(pk__in={problem_id for problem_id, _ in counts}))
    for problem in problems:
        timeouts = counts[problem.pk, Verdict.TIMEOUT]
        problem.n += sum(counts[problem.pk, verdict] for verdict in Verdict)
        problem.c += counts[problem.pk, Verdict.CORRECT]
        problem.errors += counts[problem.pk, Verdict.ERROR] + timeouts
        problem.timeouts += timeouts
        problem.seq = seq
    _upsert(problems, ("n", "c", "errors", "timeouts", "seq"))


def _upsert(rows: Sequence[Problem] | Sequence[Sample], fields: Collection[str]) -> None:
    """Write ``fields`` of rows that exist: one plain statement, where bulk_update would write a CASE with a branch for
    each row and field."""
    type(rows[0])._base_manager.bulk_create(
        rows,  # type: ignore[arg-type]  # one model or the other, never mixed
        batch_size=_BATCH,
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=fields,
    )


def forget_verdicts(experiment: Experiment, seq: int) -> None:
    """Make every sample of the experiment ungraded again, before another verifier grades them."""
    Sample.objects.filter(experiment=experiment).exclude(verdict=Verdict.PENDING).update(
        verdict=Verdict.PENDING, answer="", canonical="", reason="", grade_seconds=None, level=""
    )
    Problem.objects.filter(experiment=experiment).update(n=0, c=0, errors=0, timeouts=0, seq=seq)


def _storable(text: str) -> str:
    """PostgreSQL stores neither NUL nor half surrogates, and models write both."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
