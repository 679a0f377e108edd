"""This process as a worker: its name, its row in the database, its runner, its orderly end.

Celery calls in by signals; the work itself is done by ``ThisWorker.work`` in Celery's one pool thread.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from celery import signals
from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from engine.sandbox.probe import examine
from engine.sandbox.types import Level
from jobs import dispatch, leases
from jobs.announcer import announcer
from jobs.devices import Processor, describe, processors
from jobs.log_context import log_context
from jobs.models import Queue, Shard, ShardStatus, Worker
from jobs.supervisor import Attempt
from jobs.warm_runner import WarmRunner

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0
_LOOK_SECONDS = 4.0  # between two looks at the processors: nvidia-smi is a process of its own
_LAST_WORDS_SECONDS = 2.0
_LONGEST_GOODBYE_SECONDS = 15.0  # Celery may wait for a broker that is gone


class ThisWorker:
    """One claim at a time; the heartbeat thread keeps the Worker row fresh meanwhile."""

    def __init__(self, name: str, queue: str) -> None:
        self.name = name
        self.queue = queue
        self.stopping = threading.Event()
        self._runner = WarmRunner()
        self._shard_id: int | None = None
        self._processors: list[Processor] = []
        self._looked = -_LOOK_SECONDS
        self._beat_now = threading.Event()
        self._lock = threading.Lock()

    def enter(self) -> None:
        """Show up in the database and give back what a worker of this name held when it died."""
        _refuse_second(self.name)
        reaped = leases.reap(self.name)
        if reaped:
            logger.warning("%d shard(s) of the last run of %s are queued again", reaped, self.name)
        if self.queue == Queue.CPU:
            _show_sandbox()
        self._look()
        self._write_row(started_at=timezone.now(), draining=False)
        connection.close()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def work(self, queue: str) -> bool:
        """Claim and do one shard of ``queue``; ring again when more are queued. False when there was none."""
        with self._lock:
            if self.stopping.is_set():
                return False
            if Worker.objects.filter(name=self.name, draining=True).exists():
                return False
            lease = leases.claim_next(queue, self.name)
            if lease is None:
                return False
            self._show(lease.shard_id)
            try:
                with log_context(worker=self.name, shard=lease.shard_id, claim=lease.claim):
                    Attempt(lease, self._runner, self.stopping).run()
            finally:
                self._show(None)
        if not self.stopping.is_set() and Shard.objects.filter(queue=queue, status=ShardStatus.QUEUED).exists():
            dispatch.ring(queue)
        return True

    def leave(self) -> None:
        """End the runner and disappear from the list of workers."""
        self.stopping.set()
        self._runner.kill()
        announcer.settle(_LAST_WORDS_SECONDS)
        with suppress(DatabaseError):
            Worker.objects.filter(name=self.name, pid=os.getpid()).delete()
        connection.close()

    def _show(self, shard_id: int | None) -> None:
        self._shard_id = shard_id
        self._beat_now.set()

    def _beat(self) -> None:
        while not self.stopping.is_set():
            try:
                self._write_row()
            except DatabaseError as error:  # the reconciler judges by the row's age; try again at the next beat
                logger.warning("no heartbeat: %s", error)
            connection.close()
            self._look()  # after the beat, which a slow driver must not hold up
            self._beat_now.wait(HEARTBEAT_SECONDS)
            self._beat_now.clear()

    def _look(self) -> None:
        """What the next beat tells about the processors. A GPU that does not answer any more keeps its name."""
        if time.monotonic() - self._looked >= _LOOK_SECONDS:
            found = processors(self.queue)
            lost = any(each.is_gpu for each in self._processors) and not found[0].is_gpu
            self._processors = [Processor(each.name, True) for each in self._processors] if lost else found
            self._looked = time.monotonic()

    def _write_row(self, **more: Any) -> None:
        values = {
            "queue": self.queue,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "device": describe(self._processors),
            "processors": [asdict(each) for each in self._processors],
            "heartbeat_at": timezone.now(),
            "shard_id": self._shard_id,
            **more,
        }
        # The row may have been removed as stale while this machine slept; then it comes back.
        if not Worker.objects.filter(name=self.name).update(**values):
            Worker.objects.create(name=self.name, **values)


def _show_sandbox() -> None:
    """Say at start how well this worker can fence programs in, not when the first one is refused."""
    found = examine()
    log = logger.info if found.level >= Level[str(settings.VERIFICATION["minimum"]).upper()] else logger.warning
    log("sandbox: %s (%s)%s", found.level.label, found.layers, f"; {found.missing}" if found.missing else "")


def _refuse_second(name: str) -> None:
    """Two living workers of one name would take each other's shards away."""
    other = Worker.objects.filter(name=name, host=socket.gethostname()).exclude(pid=os.getpid()).first()
    fresh = other and (timezone.now() - other.heartbeat_at).total_seconds() < 2 * HEARTBEAT_SECONDS
    if other and fresh and _is_alive(other.pid):
        raise SystemExit(
            f"A worker called {name} already runs here (process {other.pid}): choose another name with -n."
        )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


this_worker: ThisWorker | None = None


@signals.celeryd_after_setup.connect  # type: ignore[untyped-decorator]
def _enter(sender: str, instance: Any, **_: Any) -> None:
    global this_worker
    queues = [queue for queue in instance.app.amqp.queues.consume_from if queue in Queue.values]
    this_worker = ThisWorker(sender, queues[0] if queues else Queue.GPU)
    try:
        this_worker.enter()
    except DatabaseError as error:
        raise SystemExit(f"The database does not answer or is not migrated: {error}") from error


@signals.worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _stop(**_: Any) -> None:
    """SIGTERM: the running attempt sees the event, gives its shard back and ends within a second."""
    if this_worker is not None:
        this_worker.stopping.set()
    late = threading.Timer(_LONGEST_GOODBYE_SECONDS, os._exit, args=[1])
    late.daemon = True
    late.start()


@signals.worker_shutdown.connect  # type: ignore[untyped-decorator]
def _leave(**_: Any) -> None:
    if this_worker is not None:
        this_worker.leave()
