"""Drawing more where it helps: the preview, the page, the API and the command."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from engine.coverage import allocate, coverage_curve
from jobs.kinds.sampling.models import Problem, Sample, Verdict
from jobs.kinds.sampling.spec import ExtraDraw
from jobs.models import Experiment, Shard, ShardStatus, Status, Worker
from tests.webapp.test_actions import act
from webapp.accounts.models import User
from webapp.experiments.sampling.analysis import forecast_data, selection_data
from webapp.experiments.sampling.counters import load_counters
from webapp.experiments.sampling.extra import CannotDraw, preview
from webapp.experiments.sampling.tables import _curve_rows

Make = Callable[..., Experiment]
SignIn = Callable[[User], Client]
C = np.array([16, 12, 7, 4, 2, 1, 0, 0, 0, 0])


@pytest.fixture
def finished(make_experiment: Make) -> Experiment:
    """Ten problems, 16 samples each, four of them unsolved; answers of odd problems are twice as long."""
    experiment = make_experiment(problems=10, spec={"samples": 16}, status=Status.FINISHED, last_seq=1)
    for problem in experiment.problems.all():
        problem.n, problem.c, problem.drawn = 16, int(C[problem.index]), 16
        problem.tokens = 16 * (20 if problem.index % 2 else 10)
        problem.save()
    return experiment


def timed(experiment: Experiment, device: str = "CPU, 2 cores") -> None:
    """160 samples in 320 s."""
    Worker.objects.create(name="w", queue="gpu", host="h", device=device, pid=1, started_at=timezone.now())
    now = timezone.now()
    Shard.objects.create(
        experiment=experiment, stage="generate", stage_index=0, index=0, queue="gpu", status=ShardStatus.DONE, done=160,
        total=160, worker="w", started_at=now - timedelta(seconds=320), finished_at=now,
        payload={"problems": [0, 10], "samples": [0, 16]},
    )  # fmt: skip


def test_a_preview_is_the_engines_allocation(finished: Experiment) -> None:
    found = preview(finished, 400, "samples")
    expected = allocate(np.full(10, 16), C, 400)
    assert expected is not None
    assert found.draw.targets == {p: 16 + int(expected.samples[p]) for p in (6, 7, 8, 9)}
    assert (found.number, found.samples, found.problems, found.unsolved) == (1, 400, 4, 4)
    assert found.groups == [(100, 4)]
    assert (found.newly_solved, found.lo, found.hi) == (expected.newly_solved, expected.lo, expected.hi)
    assert found.newly_solved > found.evenly > 0
    assert found.tokens == pytest.approx(100 * (10 + 20 + 10 + 20))
    assert found.seconds is None and found.dollars is None and not found.is_capped


def test_a_budget_in_hours_counts_long_answers_as_dearer(finished: Experiment) -> None:
    timed(finished)
    found = preview(finished, 0.25, "gpu-hours")
    assert found.seconds == pytest.approx(900, abs=4)  # one sample takes 2 s, 2.7 s of an odd problem
    targets = found.draw.targets
    assert targets[6] == targets[8] > targets[7] == targets[9]


def test_what_is_planned_comes_first(finished: Experiment) -> None:
    """Samples on their way are not drawn twice, and nobody gets more than one may have."""
    Experiment.objects.filter(pk=finished.pk).update(spec=finished.spec | {"samples": 50}, status=Status.RUNNING)
    finished.refresh_from_db()
    found = preview(finished, 40, "samples")
    assert found.draw.targets == {6: 60, 7: 60, 8: 60, 9: 60}
    most = preview(finished, 1_000_000, "samples")
    assert set(most.draw.targets.values()) == {10_000} and most.is_capped


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"status": Status.FAILED}, "retry"),
        ({"spec": {"samples": 16, "stop_when_solved": True}}, "to the unsolved ones alone"),
        (
            {"spec": {"samples": 16, "imported": {"file": "a", "size": 1, "sha256": "0" * 64, "format": "csv"}}},
            "Import",
        ),
    ],
)
def test_what_cannot_be_drawn_further(finished: Experiment, change: dict[str, Any], why: str) -> None:
    for name, value in change.items():
        setattr(finished, name, value)
    with pytest.raises(CannotDraw, match=why):
        preview(finished, 10, "samples")


def test_why_nothing_helps(finished: Experiment, make_experiment: Make) -> None:
    with pytest.raises(CannotDraw, match="not known here: no worker's time"):
        preview(finished, 1, "gpu-hours")
    timed(finished)
    with pytest.raises(CannotDraw, match="do not pay for one sample"):
        preview(finished, 1e-6, "gpu-hours")
    with pytest.raises(CannotDraw, match="No sample is graded"):
        preview(make_experiment(status=Status.RUNNING), 10, "samples")
    Problem.objects.filter(c=0, n__gt=0).update(c=1)
    with pytest.raises(CannotDraw, match="Every problem is solved"):
        preview(finished, 10, "samples")


# --- page, API, command -----------------------------------------------------------------------------------------------


def test_the_page_shows_and_draws(finished: Experiment, as_user: SignIn, bob: User) -> None:
    client, address = as_user(bob), reverse("experiment-draw", args=[finished.code])
    text = client.get(address, {"spend": "400", "unit": "samples"}).content.decode()
    assert "model-based" in text and "Draw 400 samples" in text
    assert re.search(r"0 to [1-4] of 4 unsolved", text)
    assert 'value="400"' in text and "US$" not in text
    assert 'value="64"' in client.get(address).content.decode()  # what the four unsolved problems had
    level, said = act(client, "draw-start", finished, spend="400", unit="samples", number="1")
    assert (level, said) == ("success", "Drawing 400 more samples of 4 problems. What is there stays.")
    finished.refresh_from_db()
    assert finished.status == Status.QUEUED
    assert [ExtraDraw.model_validate(each).targets for each in finished.spec["extra"]] == [
        {6: 116, 7: 116, 8: 116, 9: 116}
    ]
    level, said = act(client, "draw-start", finished, spend="400", unit="samples", number="1")
    assert level == "error" and "fresh" in said
    config = client.get(reverse("experiment-tab", args=[finished.code, "config"])).content.decode()
    assert "4 problems up to 116 samples" in config


@pytest.mark.parametrize("spend", ["", "0", "-5", "many", "1.5", "1e99", "nan", "٣", "1_000", "inf"])
def test_the_page_refuses_nonsense_in_words(finished: Experiment, as_user: SignIn, bob: User, spend: str) -> None:
    client = as_user(bob)
    level, text = act(client, "draw-start", finished, spend=spend, unit="samples", number="1")
    assert level == "error" and text.endswith(".")
    response = client.get(reverse("experiment-draw", args=[finished.code]), {"spend": spend, "unit": "samples"})
    assert response.status_code == 200 and text.encode() in response.content
    assert "extra" not in Experiment.objects.get(pk=finished.pk).spec


@pytest.mark.parametrize("data", [{"unit": "euros"}, {"number": ""}, {"number": "x"}, {"unit": "dollars"}])
def test_the_page_draws_only_what_was_previewed(
    finished: Experiment, as_user: SignIn, bob: User, data: dict[str, str]
) -> None:
    values = {"spend": "10", "unit": "samples", "number": "1"} | data
    assert act(as_user(bob), "draw-start", finished, **values)[0] == "error"


# --- what comes after -------------------------------------------------------------------------------------------------


@pytest.fixture
def uneven(finished: Experiment) -> Experiment:
    """The same after an extra draw: problems 6 and 7 have 100 samples, 6 is solved by one of the new ones."""
    spec = finished.spec | {"extra": [{"up_to": {"100": [6, 7]}}]}
    Experiment.objects.filter(pk=finished.pk).update(spec=spec, last_seq=2)
    for index, right in ((6, 3), (7, 0)):
        Problem.objects.filter(experiment=finished, index=index).update(
            n=100, drawn=100, c=right, extra_n=84, extra_c=right
        )
    for problem in finished.problems.all():
        good = C[problem.index] if problem.index != 6 else 0
        Sample.objects.bulk_create(
            Sample(
                experiment=finished, problem=problem, index=i, tokens=5, canonical="a" if i < good or i > 96 else "b",
                verdict=Verdict.CORRECT if i < good or (problem.index == 6 and i > 96) else Verdict.WRONG,
            )
            for i in range(problem.n)
        )  # fmt: skip
    finished.refresh_from_db()
    return finished


def test_curves_leave_extra_draws_out_and_counts_do_not(uneven: Experiment, as_user: SignIn, bob: User) -> None:
    even = coverage_curve([16] * 10, C)
    counters = load_counters([uneven])[uneven.pk]
    assert (counters.n.tolist(), counters.c.tolist(), counters.reach, counters.is_even) == (
        [16] * 10,
        C.tolist(),
        16,
        True,
    )
    assert counters.solved == 7 and counters.all_n.sum() == 160 + 168
    assert [row[1] for row in _curve_rows(uneven)] == pytest.approx(coverage_curve([16] * 10, C, range(1, 17)).coverage)
    data = forecast_data(uneven)
    assert data["measured"]["coverage"] == pytest.approx(even.coverage)
    assert (data["extra"], data["graded"], data["gains"]["unsolved"]) == (168, 328, 3)
    assert max(data["forecast"]["k"]) >= 100
    selection = selection_data(uneven)
    assert selection["measured"]["coverage"][-1] == pytest.approx(even.coverage[-1])
    assert selection["graded"] == 160
    state = as_user(bob).get(reverse("experiment-live", args=[uneven.code])).json()["kind"]
    assert state["kpis"]["solved"] == 7 and state["curve"]["complete_to"] == 16
    assert state["planned"] == 328 and state["extra"]["solved"] == 1


def test_the_compare_page_says_so(uneven: Experiment, as_user: SignIn, bob: User) -> None:
    address = reverse("compare", args=[uneven.team.code])
    text = as_user(bob).get(f"{address}?e={uneven.code}").content.decode()
    assert "168 samples of extra draws" in text


def test_files_tell_which_samples_are_extra(uneven: Experiment, as_user: SignIn, bob: User) -> None:
    client = as_user(bob)

    def file(name: str) -> str:
        async def read() -> bytes:
            answer: Any = await sync_to_async(client.get)(reverse("experiment-download", args=[uneven.code, name]))
            return b"".join([piece async for piece in answer.streaming_content])

        return async_to_sync(read)().decode()

    assert file("problems.csv").splitlines()[7].endswith(",100,3,0,0.03,84,3")
    assert json.loads(file("experiment.json"))["problems"][6]["extra_n"] == 84
    assert "168 more samples of 2 problems" in file("report.html")
    text = client.get(reverse("experiment-tab", args=[uneven.code, "samples"]) + "?problem=6&at=6.99").content.decode()
    assert "6.99" in text and "Sample 99" in text
