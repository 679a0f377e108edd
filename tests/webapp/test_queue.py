"""The queue page: places, reasons, estimates, and what of other teams is not told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from jobs.models import Experiment, Queue, Quota, Shard, ShardStatus, Worker
from webapp.accounts.models import Team, User
from webapp.experiments.queue import line_of

SignIn = Callable[[User], Client]


@pytest.fixture
def queued(make_experiment: Callable[..., Experiment]) -> Callable[..., Experiment]:
    """``queued(name, team=...)``: an experiment with two queued shards on the GPU queue, and nothing else."""

    def make(name: str, **fields: Any) -> Experiment:
        experiment = make_experiment(name=name, **fields)
        experiment.shards.all().delete()
        for index in range(2):
            Shard.objects.create(experiment=experiment, stage="generate", stage_index=0, index=index, queue="gpu")
        return experiment

    return make


def _worker(name: str, **fields: Any) -> Worker:
    return Worker.objects.create(name=name, queue="gpu", host="lab", device="NVIDIA H200", pid=1, **fields)


def test_reasons(queued: Callable[..., Experiment], team: Team) -> None:
    first, second = queued("first"), queued("second")

    def told() -> list[str]:
        return [place.why for place in line_of(Queue.GPU, team).places]

    assert all("No GPU worker is running" in why for why in told())
    worker = _worker("a", draining=True)
    assert told() == ["All workers are draining: they take nothing new."] * 2
    Worker.objects.update(draining=False)
    assert told() == ["The next free worker takes it.", "Others are before it."]
    Shard.objects.filter(experiment=first, index=0).update(status=ShardStatus.RUNNING, started_at=timezone.now())
    assert told()[0] == "1 of its shards run; the others wait for more workers."
    Quota.objects.create(team=team, shards=1)
    assert told() == ["The team's 1 shards at once are running."] * 2
    assert worker.name == "a" and second.name == "second"


def test_when_it_begins(queued: Callable[..., Experiment], team: Team) -> None:
    """The one worker has done a quarter of its shard in 100 s."""
    running = queued("running")
    shard = running.shards.get(index=0)
    Shard.objects.filter(pk=shard.pk).update(
        status=ShardStatus.RUNNING, total=4, done=1, started_at=timezone.now() - timedelta(seconds=100)
    )
    running.shards.filter(index=1).delete()
    queued("next"), queued("after")
    _worker("a", shard=shard)
    places = line_of(Queue.GPU, team).places
    assert places[0].starts_in == pytest.approx(300, abs=10)
    assert places[1].starts_in is None  # how long the first one's shards take is not known


def test_another_teams_experiment_tells_nothing(
    queued: Callable[..., Experiment], charlie: User, alice: User, as_user: SignIn
) -> None:
    queued("ours")
    theirs = queued("a secret name", team=charlie.teams.get(), owner=charlie)
    page = as_user(alice).get(f"/teams/{alice.teams.get().code}/queue/").content.decode()
    assert "another team&#x27;s experiment" in page or "another team's experiment" in page
    for secret in ("a secret name", str(theirs.code), charlie.name):
        assert secret not in page


def test_the_number_of_queries_does_not_grow(
    queued: Callable[..., Experiment],
    alice: User,
    as_user: SignIn,
    django_assert_max_num_queries: Callable[[int], Any],
) -> None:
    client = as_user(alice)
    for name in "abcdefgh":
        queued(name)
        _worker(name)
    with django_assert_max_num_queries(40):
        assert client.get(f"/teams/{alice.teams.get().code}/queue/").status_code == 200


def test_owners_move_rows(queued: Callable[..., Experiment], alice: User, team: Team, as_user: SignIn) -> None:
    first, second, third = queued("a"), queued("b"), queued("c")
    order = [str(each.code) for each in (first, second, third)]
    client = as_user(alice)

    def shown() -> list[str]:
        return [place.experiment.name for place in line_of(Queue.GPU, team).places]

    address = f"/teams/{team.code}/queue/order/"
    client.post(address, {"order": order, "move": str(third.code), "by": "-1"})
    assert shown() == ["a", "c", "b"]
    client.post(address, {"order": [order[0], order[2], order[1]], "move": str(first.code), "by": "1"})
    assert shown() == ["c", "a", "b"]
    client.post(address, {"order": [order[1], order[0], order[2]]})
    assert shown() == ["b", "a", "c"]
    assert client.post(address, {"order": ["nonsense"]}).status_code == 404


def test_operators_drain(alice: User, bob: User, team: Team, as_user: SignIn) -> None:
    _worker("gpu@lab")
    alice_page = as_user(alice).get(f"/teams/{team.code}/workers/").content.decode()
    assert "Drain gpu@lab" in alice_page
    assert "Drain gpu@lab" not in as_user(bob).get(f"/teams/{team.code}/workers/").content.decode()
    as_user(alice).post(f"/teams/{team.code}/workers/gpu@lab/drain/", {"on": "1"})
    assert Worker.objects.get().draining
    as_user(alice).post(f"/teams/{team.code}/workers/gpu@lab/drain/", {"on": "0"})
    assert not Worker.objects.get().draining


def test_the_first_account_is_an_operator_and_commands_make_others(alice: User, bob: User) -> None:
    assert (alice.is_operator, bob.is_operator) == (True, False)
    call_command("operator", bob.email)
    call_command("operator", alice.email, remove=True)
    assert list(User.objects.filter(is_operator=True)) == [bob]
    with pytest.raises(CommandError, match="Nobody"):
        call_command("operator", "nobody@example.org")


def test_the_quota_command(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("quota", team.name, gpu_hours="12.5", shards="3")
    call_command("quota", str(team.code), storage_gib="2")
    assert "GPU hours this month: 0, of 12.5" in capsys.readouterr().out
    quota = Quota.objects.get()
    assert (quota.gpu_hours, quota.shards, quota.storage) == (12.5, 3, 2 * 2**30)
    call_command("quota", team.name, gpu_hours="none", shards="none", storage_gib="none")
    assert not Quota.objects.exists()
    for wrong in ({"shards": "0"}, {"gpu_hours": "-1"}, {"storage_gib": "nan"}, {"shards": "many"}):
        with pytest.raises(CommandError, match="must be a number"):
            call_command("quota", team.name, **wrong)
