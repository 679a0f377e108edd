"""The Analysis tab and the data of its figures: counted by the database, kept until the experiment changes."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.db.models import F
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from engine.coverage import coverage_curve
from engine.selection import NO_ANSWER, best_of, scored_curves, selection_curves
from jobs.kinds.sampling.models import Sample, Score, Scorer, Verdict
from jobs.models import Experiment, Shard, ShardStatus, Status, Worker
from tests.engine.shared import shared_data
from tests.webapp.test_live_page import share
from tests.webapp.test_samples import draw
from webapp.accounts.models import User
from webapp.experiments.sampling import analysis, answers, curves
from webapp.experiments.sampling.answers import answer_classes, probable_samples, rewarded_samples, votes_of
from webapp.experiments.sampling.counters import load_counters
from webapp.experiments.sampling.measured import measure

Make = Callable[..., Experiment]
SignIn = Callable[[User], Client]


def answered(make_experiment: Make, seed: int = 0, problems: int = 6, per_problem: int = 40) -> Experiment:
    """A finished experiment whose samples have answers, verdicts and log-probabilities of many kinds."""
    random = np.random.default_rng(seed)
    experiment = make_experiment(problems=problems, status=Status.FINISHED, spec={"samples": per_problem}, last_seq=1)
    for problem in experiment.problems.order_by("index"):
        chance = problem.index / problems
        right = random.random(per_problem) < chance
        Sample.objects.bulk_create(
            Sample(
                experiment=experiment, problem=problem, index=i, seed=i, tokens=int(random.integers(0, 9)),
                logprob=-float(random.random() * 20), finish="stop",
                verdict=Verdict.CORRECT if right[i] else random.choice([Verdict.WRONG, Verdict.ERROR]),
                canonical=problem.answer if right[i] else str(random.choice(["", "7", "8", "9"])),
            )
            for i in range(per_problem)
        )  # fmt: skip
        problem.n, problem.c, problem.drawn = per_problem, int(right.sum()), per_problem
        problem.save()
    Sample.objects.filter(experiment=experiment, problem__index=1, index=0).update(verdict=Verdict.PENDING)
    return experiment


def test_answers_are_counted_like_by_hand(make_experiment: Make) -> None:
    experiment = answered(make_experiment)
    answered(make_experiment, seed=1)  # another experiment's samples do not count
    found = answer_classes(experiment)
    for problem in experiment.problems.all():
        graded = problem.samples.exclude(verdict=Verdict.PENDING)
        votes = Counter(graded.exclude(canonical="").values_list("canonical", flat=True))
        classes = found[problem.index]
        assert sorted(Counter(classes.answer[classes.answer != NO_ANSWER].tolist()).values()) == sorted(votes.values())
        assert (classes.answer == NO_ANSWER).sum() == graded.filter(canonical="").count()
        assert classes.correct.sum() == graded.filter(verdict=Verdict.CORRECT).count()
        assert votes_of(classes) == max(votes.values())


def test_scores_are_mean_log_probabilities(make_experiment: Make) -> None:
    experiment = answered(make_experiment)
    found = probable_samples(experiment)
    assert found is not None
    for problem in experiment.problems.all():
        rows = problem.samples.exclude(verdict=Verdict.PENDING)
        wanted = [
            (round(logprob / tokens, 2), verdict == Verdict.CORRECT)
            for logprob, tokens, verdict in rows.filter(tokens__gt=0).values_list("logprob", "tokens", "verdict")
        ]
        scored = found[problem.index]
        assert scored.n == rows.count() and scored.score is not None
        seen = [pair for pair in zip(scored.score, scored.correct, strict=True) if not np.isnan(pair[0])]
        assert np.array(sorted(seen)) == pytest.approx(np.array(sorted(wanted)))


def test_counting_takes_one_query_each(make_experiment: Make) -> None:
    experiment = answered(make_experiment)
    for count in (answer_classes, probable_samples):
        with CaptureQueriesContext(connection) as queries:
            count(experiment)
        assert len(queries) == 1


def reward(experiment: Experiment, seed: int = 3) -> None:
    """Give every sample a reward that leans to correct ones."""
    random = np.random.default_rng(seed)
    samples = list(experiment.samples.all())
    for sample in samples:
        sample.score = float(random.normal(sample.verdict == Verdict.CORRECT, 1.0))
    Sample.objects.bulk_update(samples, ["score"])


@pytest.mark.parametrize("exact", [True, False])
def test_rewards_stay_with_their_samples(exact: bool, make_experiment: Make, monkeypatch: Any) -> None:
    experiment = answered(make_experiment)
    assert rewarded_samples(experiment) is None
    reward(experiment)
    monkeypatch.setattr(answers, "EXACT_SAMPLES", 50_000 if exact else 10)
    found = rewarded_samples(experiment)
    assert found is not None
    rows = list(experiment.samples.values_list("score", flat=True))
    step = (max(rows) - min(rows)) / answers.STEPS
    for problem in experiment.problems.all():
        graded = problem.samples.exclude(verdict=Verdict.PENDING)
        wanted = sorted(
            (value, verdict == Verdict.CORRECT) for value, verdict in graded.values_list("score", "verdict")
        )
        scored = found[problem.index]
        assert scored.score is not None
        seen = sorted(zip(scored.score.tolist(), scored.correct.tolist(), strict=True))
        assert [value for value, _ in seen] == pytest.approx(
            [value for value, _ in wanted], abs=1e-9 if exact else step
        )
        assert sum(right for _, right in seen) == sum(right for _, right in wanted)
        assert votes_of(scored) == votes_of(answer_classes(experiment)[problem.index])
    assert not exact or seen == wanted


def test_rewards_add_their_selectors(make_experiment: Make) -> None:
    experiment = answered(make_experiment)
    reward(experiment)
    methods = {method["name"]: method for method in analysis.selection_data(experiment)["methods"]}
    assert list(methods) == ["majority", "reward", "weighted", "logprob"]
    found = rewarded_samples(experiment)
    assert found is not None
    wanted = selection_curves([found[i] for i in range(6)]).curves
    assert methods["reward"]["coverage"] == pytest.approx(wanted[1].value, rel=1e-5)
    assert methods["weighted"]["coverage"] == pytest.approx(wanted[2].value, rel=1e-5)
    experiment.samples.filter(index=5).update(score=None)
    experiment.last_seq += 1
    assert [each["name"] for each in analysis.selection_data(experiment)["methods"]] == ["majority", "logprob"]


def score(experiment: Experiment, first: int) -> None:
    """A reward model that has scored the first so many samples of every problem, its rewards those of ``reward``."""
    experiment.spec["scorer"] = "judge"
    experiment.save()
    scorer = Scorer.objects.create(experiment=experiment, name="judge")
    scored = experiment.samples.filter(index__lt=first)
    Score.objects.bulk_create(Score(scorer=scorer, sample=sample, value=sample.score) for sample in scored)
    Scorer.objects.filter(pk=scorer.pk).update(scored=scored.count())


@pytest.mark.parametrize("first", [40, 25])
def test_a_reward_model_at_work_has_curves_up_to_what_it_scored(first: int, make_experiment: Make) -> None:
    """The same curves as from a file's rewards when it has scored all, and of the scored samples alone before."""
    experiment = answered(make_experiment)
    reward(experiment)
    if first == 40:
        wanted = rewarded_samples(experiment)
    else:
        graded = experiment.samples.filter(index__lt=first).exclude(verdict=Verdict.PENDING)
        wanted = answers._valued(graded, "score")
    score(experiment, first)
    assert wanted is not None
    data = analysis.selection_data(experiment)
    methods = {method["name"]: method for method in data["methods"]}
    best, vote = scored_curves([wanted[i] for i in range(6)])
    assert methods["reward"]["k"] == best.k.tolist() and best.k[-1] == first - 1  # one sample is not graded yet
    assert methods["reward"]["coverage"] == pytest.approx(best.value, rel=1e-5)
    assert methods["weighted"]["coverage"] == pytest.approx(vote.value, rel=1e-5)
    assert methods["majority"]["k"] == data["measured"]["k"]
    assert (data["scorer"], data["scored"]) == ("judge", 6 * first)


def test_a_problem_without_a_score_leaves_no_reward_curve(make_experiment: Make) -> None:
    experiment = answered(make_experiment)
    reward(experiment)
    score(experiment, 40)
    Score.objects.filter(sample__problem__index=2).delete()
    assert [each["name"] for each in analysis.selection_data(experiment)["methods"]] == ["majority", "logprob"]


def test_self_certainty_selects_when_all_samples_have_it(make_experiment: Make) -> None:
    experiment = answered(make_experiment)
    experiment.samples.update(self_certainty=F("index") % 7 + 1.5)
    methods = {method["name"]: method for method in analysis.selection_data(experiment)["methods"]}
    assert list(methods) == ["majority", "logprob", "certainty", "certainty-vote"]
    found = answers.certain_samples(experiment)
    assert found is not None
    best, _ = scored_curves([found[i] for i in range(6)])
    assert methods["certainty"]["coverage"] == pytest.approx(best.value, rel=1e-5)
    experiment.samples.filter(index=3, problem__index=0).update(self_certainty=None)
    experiment.last_seq += 1
    assert [each["name"] for each in analysis.selection_data(experiment)["methods"]] == ["majority", "logprob"]


def test_selection_is_the_librarys(make_experiment: Make) -> None:
    experiment = answered(make_experiment)
    data = analysis.selection_data(experiment)
    classes, scored = answer_classes(experiment), probable_samples(experiment)
    assert scored is not None
    wanted = selection_curves([classes[i] for i in range(6)])
    majority, logprob = data["methods"]
    assert majority["coverage"] == pytest.approx(wanted.curves[0].value, rel=1e-5)
    assert data["measured"]["coverage"] == pytest.approx(wanted.coverage.coverage, rel=1e-5)
    best = best_of([scored[i] for i in range(6)], wanted.coverage.k).mean(axis=0)
    assert logprob["coverage"] == pytest.approx(best, rel=1e-5)
    # One sample leaves nothing to choose; and no selector keeps more than was solved.
    assert logprob["coverage"][0] == pytest.approx(data["measured"]["coverage"][0], rel=1e-5)
    for method in data["methods"]:
        assert all(
            kept <= most + 1e-6 for kept, most in zip(method["coverage"], data["measured"]["coverage"], strict=True)
        )


def test_the_tab_is_there_for_members_and_shares(
    make_experiment: Make, as_user: SignIn, vera: User, client: Client
) -> None:
    experiment = answered(make_experiment)
    page = as_user(vera).get(reverse("experiment-tab", args=[experiment.code, "analysis"])).content.decode()
    assert reverse("experiment-data", args=[experiment.code, "NAME"]) in page
    share(experiment, "open")
    shared = client.get(reverse("shared-tab", args=["open", "analysis"])).content.decode()
    assert reverse("shared-data", args=["open", "NAME"]) in shared
    assert client.get(reverse("shared-data", args=["open", "selection"])).status_code == 200


def test_unknown_data_is_404(make_experiment: Make, as_user: SignIn, vera: User) -> None:
    experiment = make_experiment()
    assert as_user(vera).get(reverse("experiment-data", args=[experiment.code, "secrets"])).status_code == 404


def test_forecast_holds_what_the_library_says(make_experiment: Make) -> None:
    experiment = answered(make_experiment)
    data = analysis.forecast_data(experiment)
    n, c = zip(*experiment.problems.order_by("index").values_list("n", "c"), strict=True)
    curve = coverage_curve(n, c)
    assert data["measured"]["k"] == curve.k.tolist()
    assert data["measured"]["coverage"] == pytest.approx(curve.coverage, rel=1e-5)
    assert data["forecast"]["k"][-1] == 400
    assert all(0 <= lo <= value <= hi <= 1 for lo, value, hi in zip(
        data["forecast"]["lo"], data["forecast"]["coverage"], data["forecast"]["hi"], strict=True
    ))  # fmt: skip
    assert data["backtest"]["first"] == 4
    assert data["gains"]["more"] == [40, 120, 360]
    assert data["gains"]["unsolved"] == sum(value == 0 for value in c)


@pytest.mark.parametrize("counts", [{"n": 0}, {"n": 1, "c": 1}, {"n": 8, "c": 0}, {"n": 8, "c": 8}])
def test_few_or_extreme_counts_give_a_page_not_an_error(
    counts: dict[str, int], make_experiment: Make, as_user: SignIn, vera: User
) -> None:
    experiment = make_experiment(**counts)
    client = as_user(vera)
    assert client.get(reverse("experiment-tab", args=[experiment.code, "analysis"])).status_code == 200
    if counts["n"]:
        draw(experiment, counts["n"])
    for part in ("forecast", "selection"):
        answer = client.get(reverse("experiment-data", args=[experiment.code, part]))
        assert answer.status_code == 200, part
        assert answer.json()["graded"] == counts["n"] * 3


def test_data_is_computed_once_and_again_after_a_change(make_experiment: Make, monkeypatch: Any) -> None:
    experiment = answered(make_experiment)
    first = analysis.selection_data(experiment)
    monkeypatch.setattr(analysis, "answer_classes", lambda _: pytest.fail("counted again"))
    assert analysis.selection_data(experiment) == first
    monkeypatch.undo()
    experiment.samples.filter(problem__index=0, index=0).update(verdict=Verdict.PENDING)
    experiment.last_seq += 1
    assert analysis.selection_data(experiment)["graded"] == first["graded"] - 1


def test_a_running_experiment_is_not_computed_at_every_change(make_experiment: Make) -> None:
    experiment = answered(make_experiment)
    experiment.status = Status.RUNNING
    first = analysis.forecast_data(experiment)
    experiment.problems.update(n=39, c=1)
    experiment.last_seq += 1
    assert analysis.forecast_data(experiment) == first
    experiment.status = Status.FINISHED
    assert analysis.forecast_data(experiment)["graded"] == 39 * 6


@pytest.mark.django_db(transaction=True)
def test_many_readers_cause_one_computation(make_experiment: Make) -> None:
    experiment = make_experiment(status=Status.FINISHED)
    begun, made = threading.Event(), []

    def make() -> dict[str, Any]:
        made.append(1)
        begun.set()
        time.sleep(0.3)
        return {"value": 7}

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(curves.cached, "x", experiment, make)
        assert begun.wait(10)
        others = [pool.submit(curves.cached, "x", experiment, make) for _ in range(3)]
        assert [each.result(timeout=30) for each in (first, *others)] == [{"value": 7}] * 4
    assert len(made) == 1


def test_a_failed_computation_blocks_nobody(make_experiment: Make) -> None:
    experiment = make_experiment(status=Status.FINISHED)
    with pytest.raises(ZeroDivisionError):
        curves.cached("x", experiment, lambda: {"value": 1 / 0})
    assert curves.cached("x", experiment, lambda: {"value": 1}) == {"value": 1}


def test_votes_say_where_the_most_frequent_answer_is_right(make_experiment: Make) -> None:
    experiment = make_experiment(problems=2, n=12, c=3, last_seq=1, status=Status.FINISHED)
    draw(experiment, 12)  # answers: three times the right one, every other answer once
    votes = analysis.selection_data(experiment)["votes"]
    assert votes == [[0, 12, 3, True, 3], [1, 12, 3, True, 3]]
    experiment.problems.get(index=1).samples.update(canonical="")
    experiment.last_seq = 2
    assert analysis.selection_data(experiment)["votes"][1] == [1, 12, 3, None, 0]


def test_worker_time_counts_finished_shards_only(make_experiment: Make) -> None:
    experiment = make_experiment(spec={"samples": 10})
    experiment.problems.update(drawn=10, tokens=400)
    begin = timezone.now() - timedelta(hours=1)

    def shard(index: int, seconds: int, done: int, status: str = ShardStatus.DONE, **more: Any) -> None:
        Shard.objects.create(
            experiment=experiment, stage="generate", stage_index=0, index=index, queue="gpu", status=status, done=done,
            total=10, started_at=begin, finished_at=begin + timedelta(seconds=seconds), **more,
        )  # fmt: skip

    shard(0, 20, 10, worker="a")
    shard(1, 10, 10, worker="b", resumed_from=5)  # drew five in this attempt
    shard(2, 500, 3, status=ShardStatus.FAILED, worker="c")
    Worker.objects.create(name="a", queue="gpu", host="h", device="NVIDIA H100", pid=1)
    Worker.objects.create(name="b", queue="gpu", host="h", device="NVIDIA H100", pid=2)
    found = measure([experiment], load_counters([experiment]))[experiment.pk]
    assert found.worker_seconds == pytest.approx(30 / 15)
    assert found.output_tokens == 40
    assert found.device == "NVIDIA H100"


def test_an_import_claims_no_model_and_no_prompt(make_experiment: Make) -> None:
    experiment = make_experiment(n=4, c=1)
    experiment.spec = {"samples": 4}
    found = measure([experiment], load_counters([experiment]))[experiment.pk]
    assert (found.shape, found.prompt_tokens, found.output_tokens, found.worker_seconds) == (None,) * 4


def test_an_import_without_answers_and_settings_has_both_pages(
    make_experiment: Make, as_user: SignIn, vera: User
) -> None:
    experiment = make_experiment(n=4, c=1, status=Status.FINISHED)
    experiment.spec = {"samples": 4, "imported": {"file": "r.csv", "size": 9, "sha256": "0" * 64, "format": "csv"}}
    experiment.save()
    Sample.objects.bulk_create(
        Sample(experiment=experiment, problem=problem, index=i, verdict=Verdict.CORRECT if i == 0 else Verdict.WRONG)
        for problem in experiment.problems.all()
        for i in range(4)
    )
    client = as_user(vera)
    assert client.get(reverse("experiment-tab", args=[experiment.code, "analysis"])).status_code == 200
    assert client.get(reverse("compare", args=[experiment.team.code]) + f"?e={experiment.code}").status_code == 200
    selection = client.get(reverse("experiment-data", args=[experiment.code, "selection"])).json()
    assert selection["methods"] == []
    assert (
        selection["why"]
        == "No answer was extracted from any sample, and neither rewards nor log-probabilities are known."
    )
    assert selection["votes"] == []  # the page hides the panel


def test_a_real_reward_models_scores_give_the_curves_they_give_in_memory(make_experiment: Make) -> None:
    """100 MATH problems, 8 real answers each, scored by a real reward model (shared/data/README.md): recorded as the
    score stage does, then read back by the analysis."""
    with (shared_data("math-rewards") / "math_cot_100.jsonl").open() as lines:
        rows = [json.loads(line) for line in lines]
    experiment = make_experiment(problems=100, status=Status.FINISHED, spec={"samples": 8, "scorer": "a/real-one"})
    scores = {}
    for problem, row in zip(experiment.problems.order_by("index"), rows, strict=True):
        right = [bool(each) for each in row["score"]]
        made = Sample.objects.bulk_create(
            Sample(
                experiment=experiment, problem=problem, index=i, finish="stop", canonical=str(row["pred"][i])[:200],
                verdict=Verdict.CORRECT if right[i] else Verdict.WRONG,
            )
            for i in range(8)
        )  # fmt: skip
        scores |= {sample.pk: row["pred_score"][i][0] for i, sample in enumerate(made)}
        problem.n, problem.c, problem.drawn = 8, sum(right), 8
        problem.save()
    shard = Shard.objects.create(
        experiment=experiment, stage="score", stage_index=2, index=0, queue="gpu",
        payload={"problems": [0, 100], "samples": [0, 8], "scorer": "a/real-one"},
    )  # fmt: skip
    told = [{"sample": pk, "score": value} for pk, value in scores.items()]
    assert experiment.kind_object.record(shard, told, 5) == 800
    data = analysis.selection_data(experiment)
    at_8 = {method["name"]: method["coverage"][-1] for method in data["methods"]}
    assert data["measured"]["coverage"][-1] == pytest.approx(0.96, abs=0.005)
    assert at_8["reward"] == pytest.approx(0.94, abs=0.005)
    assert at_8["majority"] == pytest.approx(0.93, abs=0.006)
