"""The team's page: what it counts, for whom, in how many queries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from engine.endpoint.config import PREFIX
from jobs.models import Experiment, Shard, ShardStatus, Status, Worker
from jobs.progress import progress_of
from webapp.accounts.models import Team, User
from webapp.boards.usage import by_day, usage_of
from webapp.prices.models import Price

Make = Callable[..., Experiment]
SignIn = Callable[[User], Client]
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def shard(experiment: Experiment, index: int, start: datetime, hours: float | None, **more: Any) -> Shard:
    finished = None if hours is None else start + timedelta(hours=hours)
    values = {"stage": "generate", "stage_index": 0, "queue": "gpu", "worker": "gpu@a", "total": 10}
    status = ShardStatus.RUNNING if hours is None else ShardStatus.DONE
    done = {"status": status, "started_at": start, "finished_at": finished, "done": 10 if hours else 4}
    return Shard.objects.create(experiment=experiment, index=index, **values | done | more)


def test_hours_on_each_day() -> None:
    found = by_day(datetime(2026, 11, 18, 22, 30, tzinfo=UTC), datetime(2026, 11, 20, 1, 0, tzinfo=UTC))
    assert found == [(date(2026, 11, 18), 1.5), (date(2026, 11, 19), 24.0), (date(2026, 11, 20), 1.0)]
    assert by_day(NOW, NOW) == []


def test_usage_by_member_and_day(team: Team, bob: User, charlie: User, make_experiment: Make) -> None:
    alices, bobs = make_experiment(), make_experiment(owner=bob)
    theirs = Experiment.objects.create(team=charlie.teams.get(), owner=charlie, kind="sampling", name="x", spec={})
    Worker.objects.create(name="gpu@a", queue="gpu", host="a", device="2 x NVIDIA Lab-GPU", pid=1)
    Worker.objects.create(name="gpu@b", queue="gpu", host="b", device="Abacus", pid=2)
    Price.objects.create(
        team=team,
        kind="gpu",
        name="Lab-GPU",
        per_hour=3,
        currency="USD",
        dollars=1,
        as_of="2026-01-01",
        source="a bill",
    )
    yesterday = NOW - timedelta(days=1)
    shard(alices, 0, yesterday, 2)
    shard(alices, 1, NOW - timedelta(hours=1), None)  # still running
    shard(alices, 2, yesterday, 5, queue="cpu")  # no GPU
    shard(alices, 3, NOW - timedelta(days=40), 5)  # long ago
    shard(bobs, 0, yesterday, 3, worker="gpu@b")
    shard(theirs, 0, yesterday, 7)
    usage = usage_of(team, days=3, now=NOW)
    assert usage.days == [date(2026, 11, 18), date(2026, 11, 19), date(2026, 11, 20)]
    assert usage.members == ["Alice", "Bob"]
    assert usage.as_json()["hours"] == [[0.0, 4.0, 2.0], [0.0, 3.0, 0.0]]  # two GPUs in that worker
    assert usage.as_json()["dollars"] == [[0.0, 12.0, 6.0], [0.0, 0.0, 0.0]]
    assert dict(usage.unpriced) == {"Abacus": 3.0}


def test_tokens_of_hosted_models_are_spend(team: Team, make_experiment: Make) -> None:
    hosted = make_experiment(problems=2, started_at=NOW)
    hosted.spec["model"] = f"{PREFIX}lab-model@lab"
    hosted.save()
    hosted.problems.update(n=4, drawn=4, tokens=1_000_000, prompt_tokens=500_000)
    Price.objects.create(
        team=team, kind="tokens", name="lab-model", input=2, output=10, as_of="2026-01-01", source="a bill"
    )
    usage = usage_of(team, days=1, now=NOW)
    assert usage.as_json()["dollars"] == [[2 * 1.0 + 10 * 2.0]]


def test_progress_of_many_is_two_queries(make_experiment: Make) -> None:
    stages = [{"name": "generate", "queue": "gpu", "unit": "samples"}]
    made = [make_experiment(status=Status.RUNNING, stages=stages) for _ in range(3)]
    now = timezone.now()
    for each in made:
        shard(each, 0, now - timedelta(seconds=100), 50 / 3600, done=10, total=10)
        shard(each, 1, now - timedelta(seconds=50), None, done=5, total=10)
    with CaptureQueriesContext(connection) as queries:
        found = progress_of(made)
    assert len(queries) == 2
    assert [(each.percent, each.stage) for each in found.values()] == [(75, "generate")] * 3
    # 5 units are left at 5 units in 50 s.
    assert all(each.eta_seconds == pytest.approx(50, rel=0.05) for each in found.values())


def test_page_shows_what_runs_and_what_ended(
    team: Team, vera: User, as_user: SignIn, make_experiment: Make, charlie: User
) -> None:
    running = make_experiment(name="Goes <on>", status=Status.RUNNING, started_at=timezone.now())
    shard(running, 0, timezone.now() - timedelta(minutes=5), None, done=3, total=10)
    make_experiment(name="Waits")
    make_experiment(name="Done", status=Status.FINISHED, finished_at=timezone.now())
    Experiment.objects.create(team=charlie.teams.get(), kind="sampling", name="Secret", spec={}, status=Status.RUNNING)
    client = as_user(vera)
    page = client.get(reverse("team-home", args=[team.code])).content.decode()
    for said in ("Goes &lt;on&gt;", "Running 30%", 'value="30"', "Waits", "Done", "min left"):
        assert said in page
    assert "Secret" not in page
    part = client.get(reverse("team-home", args=[team.code]), headers={"X-Part": "now"}).content.decode()
    assert "Goes &lt;on&gt;" in part
    assert "<html" not in part


def test_queries_of_the_page_do_not_grow(team: Team, alice: User, as_user: SignIn, make_experiment: Make) -> None:
    client = as_user(alice)
    url = reverse("team-home", args=[team.code])

    def count() -> int:
        client.get(url)
        with CaptureQueriesContext(connection) as queries:
            client.get(url)
        return len(queries)

    def fill(many: int) -> None:
        for _ in range(many):
            each = make_experiment(status=Status.RUNNING, started_at=timezone.now(), problems=1)
            shard(each, 0, timezone.now() - timedelta(minutes=5), None)
            make_experiment(status=Status.FINISHED, finished_at=timezone.now(), problems=1)

    fill(1)
    few = count()
    fill(6)
    assert count() == few <= 24
