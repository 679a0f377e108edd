"""What the job tests share: experiments of the fake kind, a worker inside the test process, a broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections

from jobs import kinds, services
from jobs.announcer import announcer
from jobs.models import Experiment
from jobs.worker import ThisWorker
from tests.jobs.fake_kind import FakeKind, FakeSpec
from webapp.accounts.models import Team, User


@pytest.fixture(autouse=True)
def _fake_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known to job tests only: the pages have no form for it."""
    monkeypatch.setitem(kinds._kinds, FakeKind.name, FakeKind())


@pytest.fixture(autouse=True)
def _broker(broker: None) -> Iterator[None]:
    """Every job test has the real broker, and no announcement of it reaches the next test."""
    yield
    announcer.settle(5)


@pytest.fixture
def submit(team: Team, alice: User) -> Callable[..., Experiment]:
    """``submit(shards=2, units=3, ...)``: a submitted experiment of the fake kind."""

    def submit_fake(*, team: Any = team, priority: int = 5, **spec: Any) -> Experiment:
        return services.submit(
            team=team, owner=alice, kind="fake", name="Numbers", spec=FakeSpec(**spec), priority=priority
        )

    return submit_fake


@pytest.fixture
def worker() -> Iterator[ThisWorker]:
    """A worker whose runner is a real process; the test calls ``work`` in place of Celery."""
    this = ThisWorker("gpu@test", "gpu")
    yield this
    this._runner.kill()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """One thread that lives on, as Celery's does: a runner dies with the thread that started it."""
    with ThreadPoolExecutor(1) as executor:
        yield executor
        executor.submit(connections.close_all).result()
