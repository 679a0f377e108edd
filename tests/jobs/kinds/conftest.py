"""Workers for experiments of any kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from jobs.worker import ThisWorker


@pytest.fixture(scope="session")
def workers() -> Iterator[Callable[[], None]]:
    """``workers()`` does all queued shards, on both queues, each with a runner process of its own. They stay warm over
    the tests, as they do over shards: loading torch would be most of the time."""
    both = [ThisWorker("cpu@test", "cpu"), ThisWorker("gpu@test", "gpu")]

    def work() -> None:
        while any([worker.work(worker.queue) for worker in both]):  # noqa: C419  each of them gets its turn
            pass

    yield work
    for worker in both:
        worker._runner.kill()
