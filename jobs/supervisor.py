"""Runs one claimed shard: hands the job to the warm runner, records what it reports, keeps the lease, obeys cancels."""

from __future__ import annotations

import logging
import time
import traceback
from threading import Event
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from jobs import leases
from jobs.leases import Lease, LeaseLost
from jobs.models import Shard
from jobs.protocol import Message
from jobs.recorder import Recorder
from jobs.warm_runner import RunnerDied, WarmRunner

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
_CHECK_SECONDS = 0.5  # how soon a cancel is seen
_NEWS_SECONDS = 1.0  # between two questions for news
_GRACE_SECONDS = 1.0  # for a cancelled job to stop by itself; together under the promised 2 s
_LONGEST_TAIL = 8_000  # characters


class AttemptFailed(Exception):
    """The attempt ended badly; text and ``tail`` go into the shard. ``final``: another one would end the same way."""

    def __init__(self, reason: str, tail: str = "", *, final: bool = False) -> None:
        super().__init__(reason)
        self.tail = tail
        self.final = final


class Attempt:
    """One attempt of one shard. ``stopping``: the worker shuts down and gives the shard back."""

    def __init__(self, lease: Lease, runner: WarmRunner, stopping: Event) -> None:
        self._lease = lease
        self._runner = runner
        self._stopping = stopping
        self._recorder = Recorder(lease)
        # Names the job to the runner: what an earlier, abandoned one still says is not taken for this one's.
        self._id = f"{lease.shard_id}.{lease.claim}"
        self._handed_over = False
        self._shard: Shard | None = None
        self._news: dict[str, Any] = {}
        self._asked = time.monotonic()
        self._heard = time.monotonic()
        self._checked = time.monotonic()
        self._extended = time.monotonic()

    def run(self) -> None:
        """Do the shard and bring it into its next state. Never raises for what goes wrong inside the job."""
        try:
            self._hand_over()
            finished = self._follow()
            self._recorder.flush()
            if finished:
                leases.finish(self._lease)
            else:
                self._runner.kill()
                leases.release(self._lease, "the worker shuts down.")
        except LeaseLost:
            self._abandon()
        except (AttemptFailed, RunnerDied) as error:
            self._fail(str(error), getattr(error, "tail", ""), final=getattr(error, "final", False))
        except Exception as error:
            logger.exception("the results of shard %d could not be recorded", self._lease.shard_id)
            self._recorder = Recorder(self._lease)  # what could not be stored now will not be at the next try
            self._fail(f"the results could not be recorded: {error}", traceback.format_exc())

    def _hand_over(self) -> None:
        shard = Shard.objects.select_related("experiment").get(pk=self._lease.shard_id)
        kind = shard.experiment.kind_object
        try:
            job = kind.prepare(shard)
        except LeaseLost:
            raise
        except Exception as error:
            raise AttemptFailed(f"the shard could not be prepared: {error}", traceback.format_exc()) from error
        leases.extend(self._lease)  # preparing may have taken long
        self._runner.run(self._id, kind.runner_module, shard.stage, job, settings.DATA_DIR)
        self._handed_over, self._shard = True, shard

    def _follow(self) -> bool:
        """Follow the job to its end: True when it is done, False when the worker must stop."""
        while not self._stopping.is_set():
            message = self._runner.receive(_POLL_SECONDS)
            if message is not None and message["id"] == self._id:
                self._heard = time.monotonic()
                if self._is_end(message):
                    return True
                self._recorder.take(message)
            self._beat()
        return False

    def _is_end(self, message: Message) -> bool:
        if message["is"] == "failed":
            raise AttemptFailed(message["reason"], message["trace"], final=message.get("final", False))
        return bool(message["is"] == "done")

    def _beat(self) -> None:
        """What is due between two messages: write, extend the lease, look for a cancel and for news, notice a hang."""
        now = time.monotonic()
        try:
            if self._recorder.is_due:
                self._recorder.flush()
            if now - self._extended >= settings.LEASE_SECONDS / 3:
                leases.extend(self._lease)
                self._extended = self._checked = now
            elif now - self._checked >= _CHECK_SECONDS:
                self._checked = now
                if not leases.is_held(self._lease):
                    raise LeaseLost("cancelled")
            if now - self._asked >= _NEWS_SECONDS:
                self._asked = now
                self._pass_on_news()
        except (OperationalError, InterfaceError) as error:
            self._wait_for_database(error)
        if now - self._heard > settings.HANG_SECONDS:
            raise AttemptFailed(f"the runner gave no sign of life for {settings.HANG_SECONDS} s")

    def _pass_on_news(self) -> None:
        assert self._shard is not None
        news = self._shard.experiment.kind_object.news(self._shard)
        if news != self._news:
            self._runner.tell(self._id, news)
            self._news = news

    def _wait_for_database(self, error: Exception) -> None:
        """Go on while the lease is sure to hold; the buffer keeps everything until the database is back."""
        logger.warning("the database does not answer: %s", error)
        connection.close()
        if time.monotonic() - self._extended > settings.LEASE_SECONDS:
            raise LeaseLost("the database was away for longer than the lease") from error

    def _abandon(self) -> None:
        """Stop work that nobody wants any more; the runner stays warm when the job ends by itself in time."""
        logger.info("shard %d is no longer ours: stopping its work", self._lease.shard_id)
        if not self._handed_over:
            return
        deadline = time.monotonic() + _GRACE_SECONDS
        try:
            self._runner.cancel(self._id)
            while (left := deadline - time.monotonic()) > 0:
                message = self._runner.receive(left)
                if message and message["id"] == self._id and message["is"] in {"stopped", "done", "failed"}:
                    return
        except RunnerDied:
            pass
        self._runner.kill()

    def _fail(self, reason: str, tail: str, *, final: bool = False) -> None:
        """After a failure the process may be in any state (a CUDA error stays for ever), so it is not used again."""
        self._runner.kill()
        output = f"{self._runner.output_tail()}\n{tail}".strip()[-_LONGEST_TAIL:]
        try:
            self._recorder.flush()
            leases.fail(self._lease, reason, output, final=final)
        except LeaseLost:
            logger.info("shard %d failed after its lease was lost: %s", self._lease.shard_id, reason)
