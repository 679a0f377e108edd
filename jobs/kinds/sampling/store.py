"""Writes a runner's rows. Called inside a transaction that holds the experiment's row lock, so counters are exact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from django.db.models import Count, F, Q, QuerySet

from engine.problems import Problem as ProblemText
from jobs.kinds.base import Row
from jobs.kinds.sampling import bulk
from jobs.kinds.sampling.models import Problem, Sample, Score, Scorer, Verdict
from jobs.kinds.sampling.plan import work_of
from jobs.models import Experiment, Shard

_BATCH = 1_000


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
    """The problems of a shard by index."""
    return {problem.index: problem for problem in _shard_problems(shard)}


def _shard_problems(shard: Shard) -> QuerySet[Problem]:
    indices = {index for part in work_of(shard.payload).parts for index in part.problems}
    return Problem.objects.filter(experiment_id=shard.experiment_id, index__in=indices)


def samples_of(shard: Shard, problems: Mapping[int, Problem]) -> QuerySet[Sample]:
    """The samples of a shard that there are; ``problems``: its problems by index."""
    mine = Q(pk__in=())
    for part in work_of(shard.payload).parts:
        keys = [problems[index].pk for index in part.problems]
        mine |= Q(problem__in=keys, index__gte=part.first, index__lt=part.last)
    return Sample.objects.filter(mine)


def record_samples(shard: Shard, rows: Sequence[Row]) -> int:
    """Insert the samples that are not there yet; return how many that were.

    Rows: {"problem": index, "index", "seed", "tokens", "logprob", "finish", "text"}, from models of our own also
    "self_certainty", from endpoints "prompt_tokens".
    """
    keys = _problem_keys(shard)
    wanted: dict[tuple[int, int], Row] = {}
    for row in rows:
        wanted.setdefault((keys[row["problem"]], row["index"]), row)
    existing = _existing(shard.experiment_id, wanted)
    new = {key: row for key, row in wanted.items() if key not in existing}
    if not new:
        return 0
    bulk.insert_samples(shard.experiment_id, [_new_sample(key, row) for key, row in new.items()])
    bulk.raise_counters(_drawn(new))
    return len(new)


def _problem_keys(shard: Shard) -> dict[int, int]:
    """Index -> primary key of the problems of a shard."""
    return dict(_shard_problems(shard).values_list("index", "pk"))


def _existing(experiment_id: int, keys: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
    """Those of the pairs (problem's primary key, sample index) whose samples exist."""
    found = Sample.objects.filter(
        # With the experiment, so that the unique key finds them: else all samples of these problems are looked at.
        experiment_id=experiment_id,
        problem_id__in={problem for problem, _ in keys},
        index__in={index for _, index in keys},
    )
    return set(found.values_list("problem_id", "index"))


def _new_sample(key: tuple[int, int], row: Row) -> bulk.NewSample:
    return bulk.NewSample(
        problem=key[0],
        sample=key[1],
        tokens=row["tokens"],
        logprob=row["logprob"],
        self_certainty=row.get("self_certainty"),
        score=None,
        finish=row["finish"],
        verdict=Verdict.PENDING.value,
        answer="",
        canonical="",
        reason="",
        text=_storable(row["text"]),
        seed=row["seed"],
    )


def _drawn(new: Mapping[tuple[int, int], Row]) -> dict[int, dict[str, int]]:
    """What the counters of each problem, by primary key, grow by."""
    more: dict[int, dict[str, int]] = {}
    for (problem, _), row in new.items():
        counts = more.setdefault(problem, {"drawn": 0, "tokens": 0, "prompt_tokens": 0})
        counts["drawn"] += 1
        counts["tokens"] += row["tokens"] or 0
        counts["prompt_tokens"] += row.get("prompt_tokens", 0)
    return more


def record_verdicts(shard: Shard, rows: Sequence[Row], seq: int) -> int:
    """Give samples that have no verdict yet theirs; return how many those were. A second verdict changes nothing.

    Rows: {"sample": primary key, "outcome", "answer", "canonical", "reason", "seconds", "level"}.
    """
    verdicts: dict[int, Row] = {}
    for row in rows:
        verdicts.setdefault(row["sample"], row)
    pending = Sample.objects.filter(pk__in=verdicts, experiment_id=shard.experiment_id, verdict=Verdict.PENDING)
    places = {pk: (problem, index) for pk, problem, index in pending.values_list("pk", "problem_id", "index")}
    bulk.set_verdicts(_new_verdict(sample, verdicts[sample]) for sample in places)
    # Read now, under the row lock: the shard's copy may be from before "draw more".
    even = Experiment.objects.values_list("spec__samples", flat=True).get(pk=shard.experiment_id)
    counts = Counter(
        (problem, verdicts[sample]["outcome"], index >= even) for sample, (problem, index) in places.items()
    )
    bulk.raise_counters(_graded(counts), seq)
    return len(places)


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


def _new_verdict(sample: int, row: Row) -> bulk.NewVerdict:
    answer, canonical, reason = (_storable(row[name])[:200] for name in ("answer", "canonical", "reason"))
    return bulk.NewVerdict(
        Verdict(row["outcome"]).value, answer, canonical, reason, row["seconds"], row["level"], sample
    )


def _graded(counts: Counter[tuple[int, str, bool]]) -> dict[int, dict[str, int]]:
    """(problem's primary key, verdict, whether of an extra draw) -> how many; what the counters of each problem grow
    by."""
    more: dict[int, dict[str, int]] = {}
    for (problem, verdict, is_extra), count in counts.items():
        counters = more.setdefault(problem, dict.fromkeys(("n", "c", "errors", "timeouts", "extra_n", "extra_c"), 0))
        is_correct = verdict == Verdict.CORRECT
        counters["n"] += count
        counters["c"] += count * is_correct
        counters["errors"] += count * (verdict in (Verdict.ERROR, Verdict.TIMEOUT))
        counters["timeouts"] += count * (verdict == Verdict.TIMEOUT)
        counters["extra_n"] += count * is_extra
        counters["extra_c"] += count * (is_extra and is_correct)
    return more


def forget_verdicts(experiment: Experiment, seq: int) -> None:
    """Make every sample of the experiment ungraded again, before another verifier grades them."""
    Sample.objects.filter(experiment=experiment).exclude(verdict=Verdict.PENDING).update(
        verdict=Verdict.PENDING, answer="", canonical="", reason="", grade_seconds=None, level=""
    )
    Problem.objects.filter(experiment=experiment).update(n=0, c=0, errors=0, timeouts=0, extra_n=0, extra_c=0, seq=seq)


def recount_extra(experiment: Experiment, samples: int) -> None:
    """Count anew which graded samples lie beyond the first ``samples`` of their problem. Only problems that had some
    can change: the plan gives no other problem more."""
    had = Problem.objects.filter(experiment=experiment, extra_n__gt=0)
    graded = Sample.objects.filter(problem__in=had, index__gte=samples).exclude(verdict=Verdict.PENDING)
    found = graded.values("problem").annotate(n=Count("pk"), c=Count("pk", filter=Q(verdict=Verdict.CORRECT)))
    counts = {row["problem"]: (row["n"], row["c"]) for row in found.order_by()}
    bulk.raise_counters(
        {
            pk: {"extra_n": counts.get(pk, (0, 0))[0] - n, "extra_c": counts.get(pk, (0, 0))[1] - c}
            for pk, n, c in had.values_list("pk", "extra_n", "extra_c")
        }
    )


def _storable(text: str) -> str:
    """PostgreSQL stores neither NUL nor half surrogates, and models write both."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
