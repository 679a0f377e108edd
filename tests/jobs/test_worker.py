"""Real Celery workers: redelivery, shutdown, death and return."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from jobs import dispatch
from jobs.kinds.sampling.models import Problem
from jobs.models import Experiment, LogLine, Queue, Shard, ShardStatus, Status, Worker
from tests.stack import Stack, wait_for
from webapp.launcher import roster

pytestmark = pytest.mark.django_db(transaction=True)
Submit = Callable[..., Experiment]


@pytest.fixture
def workers(stack: Stack) -> Stack:
    """The stack, with workers a and b that know the fake kind and a broker that delivers again after a second."""
    for name in ("a", "b"):
        child = roster.worker(stack.folder, name, Queue.GPU)
        child.command = ["tests.jobs.celery_app" if word == "jobs.celery" else word for word in child.command]
        child.command = ["INFO" if word == "WARNING" else word for word in child.command]
        stack.add(child)
    return stack


def units(experiment: Experiment) -> int:
    return Problem.objects.filter(experiment=experiment).count()


def has_finished(experiment: Experiment) -> bool:
    experiment.refresh_from_db()
    return experiment.status == Status.FINISHED


def test_rings_delivered_again_do_no_harm(workers: Stack, submit: Submit) -> None:
    """Each ring is held longer than the broker's patience, so it is delivered again and again."""
    workers.start("a", "b")
    wait_for(lambda: Worker.objects.count() == 2)
    experiment = submit(shards=1, units=5, behaviour="slow", check=False)
    wait_for(lambda: has_finished(experiment), 60)
    assert list(experiment.shards.values_list("claim", "attempt")) == [(1, 1)]
    assert units(experiment) == 5
    deliveries = (workers.log("a") + workers.log("b")).count("jobs.tasks.work")
    assert deliveries > 1, "the broker did not deliver the ring again, so nothing was tested"


def test_sigterm_gives_the_shard_to_another_worker(workers: Stack, submit: Submit) -> None:
    workers.start("a")
    experiment = submit(shards=1, units=4, behaviour="slow", check=False)
    wait_for(lambda: units(experiment) > 0)
    row = Worker.objects.get()
    assert (row.queue, row.pid, row.shard_id) == ("gpu", workers.pid("a"), experiment.shards.get().pk)
    assert [row.device] == [processor["name"] for processor in row.processors]
    runner = workers.runner("a")
    workers.kill("a", signal.SIGTERM)
    assert runner is not None and not runner.is_running()
    shard = experiment.shards.get()
    assert (shard.status, shard.attempt) == (ShardStatus.QUEUED, 0)
    assert not Worker.objects.exists()
    workers.start("b")
    dispatch.ring("gpu")
    wait_for(lambda: has_finished(experiment), 60)
    assert (experiment.shards.get().worker[:2], experiment.shards.get().attempt, units(experiment)) == ("b@", 1, 4)


def test_a_worker_that_returns_from_death_goes_on_at_once(workers: Stack, submit: Submit) -> None:
    """Its row and its lease are still fresh: the same name tells that whoever held them is gone."""
    workers.start("a")
    experiment = submit(shards=1, units=3, behaviour="slow", check=False)
    wait_for(lambda: units(experiment) > 0)
    Shard.objects.update(lease_until="2100-01-01T00:00Z")
    runner = workers.runner("a")
    workers.kill("a")
    wait_for(lambda: runner is not None and not runner.is_running())
    workers.start("a")
    wait_for(lambda: has_finished(experiment), 60)
    assert experiment.shards.get().attempt == 2
    assert units(experiment) == 3
    assert LogLine.objects.filter(experiment=experiment, text__contains="died").exists()


def test_a_second_worker_of_the_same_name_is_refused(workers: Stack) -> None:
    workers.start("a")
    wait_for(Worker.objects.exists)
    twin = roster.worker(workers.folder / "..", "a", Queue.GPU)
    twin.log = workers.folder / "twin.log"
    twin.environment = dict(workers.environment)
    twin.start()
    assert twin.process is not None and twin.process.wait(60) != 0
    assert "already runs here" in twin.log.read_text()
    assert Worker.objects.get().pid == workers.pid("a")
