"""Pages, files and API of an experiment that stops problems when they are solved: only what is valid is shown."""

from __future__ import annotations

import csv
import json
from collections.abc import AsyncIterator, Callable

import pytest
from asgiref.sync import async_to_sync
from django.test import Client
from django.urls import reverse

from engine.coverage import first_success_curve
from jobs.models import Experiment, Status
from tests.webapp.test_compare import address, series, words
from webapp.accounts.models import Team, User
from webapp.experiments.sampling import report, tables

Make = Callable[..., Experiment]
SignIn = Callable[[User], Client]
TRIES = (1, 3, 0)


@pytest.fixture
def stopped(make_experiment: Make) -> Experiment:
    """Three problems: solved by the first sample, by the third, and not by eight."""
    experiment = make_experiment(
        name="Stopped", status=Status.FINISHED, spec={"samples": 8, "stop_when_solved": True}, last_seq=1
    )
    for index, tries in enumerate(TRIES):
        n = tries or 8
        experiment.problems.filter(index=index).update(
            n=n, c=int(tries > 0), drawn=n, tokens=10 * n, first_correct=tries - 1 if tries else None
        )
    return experiment


def test_pages_say_what_is_valid_and_show_nothing_else(stopped: Experiment, bob: User, as_user: SignIn) -> None:
    client = as_user(bob)
    overview = words(client.get(reverse("experiment", args=[stopped.code])).content.decode())
    assert "share of problems solved within the first k samples" in overview
    assert "First correct sample" in overview and "share of graded samples that are correct" not in overview
    assert "Grade again" not in overview.split("Delete…")[0]
    page = client.get(reverse("experiment-tab", args=[stopped.code, "analysis"])).content.decode()
    assert "would be biased and are not made" in words(page)
    assert 'id="cost"' in page and 'id="forecast"' not in page and "page_analysis.js" not in page
    for part in ("forecast", "selection"):
        data = client.get(reverse("experiment-data", args=[stopped.code, part])).json()
        assert data["measured"] is None and not data.get("methods") and not data.get("forecast")


def test_files_hold_the_right_curve_and_its_estimator(stopped: Experiment) -> None:
    def read(make: Callable[[Experiment], AsyncIterator[str]]) -> str:
        async def gather() -> str:
            return "".join([piece async for piece in make(stopped)])

        return async_to_sync(gather)()

    rows = [line.split(",") for line in read(tables.coverage_csv).splitlines()]
    wanted = first_success_curve(TRIES, 8, range(1, 9))
    assert [float(row[1]) for row in rows[1:]] == pytest.approx(wanted.coverage.tolist())
    problems = list(csv.DictReader(read(tables.problems_csv).splitlines()))
    assert [row["first_correct"] for row in problems] == ["0", "2", ""] and "share_correct" not in problems[0]
    whole = json.loads(read(report.experiment_json))
    assert "share of problems solved within the first k samples" in whole["estimator"]
    assert whole["first_success"]["mean"] == pytest.approx(4)
    told = words(read(report.report_html))
    assert "n depends on c" in told and "sample 2" in told and "6.0 drawn for each solved problem" in told


def test_a_comparison_uses_the_right_curve_and_says_so(
    stopped: Experiment, make_experiment: Make, team: Team, bob: User, as_user: SignIn
) -> None:
    other = make_experiment(name="Whole", n=8, c=2, status=Status.FINISHED, spec={"samples": 8})
    page = as_user(bob).get(address(team, stopped, other)).content.decode()
    assert "Stopped stops a problem when it is solved." in words(page)
    assert "shares of correct samples do not compare" in words(page)
    first, second = series(page)["runs"]
    assert first["reach"] == 8
    assert first["curve"]["coverage"] == pytest.approx(
        first_success_curve(TRIES, 8, first["curve"]["k"]).coverage.tolist(), abs=1e-5
    )
    assert second["curve"]["coverage"][0] == pytest.approx(1 / 4)
