"""One background thread per process that broadcasts live states to the pages.

Callers only mark an experiment as changed. The thread takes the experiment's turn in Redis (one per 200 ms over all
processes), computes the state since the last broadcast and sends it through one long-lived event loop. A change that
gets no turn stays marked, so the last one is never lost; a broker that is away costs nobody anything.

Web processes need a moment to subscribe again after an outage, and miss what is sent before. So what was sent at the
broker's return is announced once more: pages see by its number that they missed something, and ask.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import redis
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import close_old_connections, connection
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)

TURN_MS = 200  # at most 5 broadcasts a second and experiment
_MEMORY_S = 3600  # how long "last broadcast up to seq" is kept; then a whole state is sent
_OUTAGE_PAUSE_S = 1.0
_ECHO_S = 4.0  # after an outage; channels_redis subscribes again within 1 to 3 s
_SEND_TIMEOUT_S = 5.0


def group_name(code: object) -> str:
    """The channel group of an experiment's pages, from its public code (a UUID)."""
    return f"experiment.{getattr(code, 'hex', code)}"


class Announcer:
    def __init__(self) -> None:
        self._changed: set[int] = set()
        self._echoes: dict[int, float] = {}  # when to announce an experiment once more (monotonic)
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._busy = False
        self._broker_away = False
        self._back_since = -_ECHO_S
        self._redis: redis.Redis | None = None

    def mark(self, experiment_id: int) -> None:
        """Note that an experiment changed. Thread-safe, returns at once."""
        with self._condition:
            self._changed.add(experiment_id)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="announcer", daemon=True)
                self._thread.start()
            self._condition.notify_all()

    def settle(self, seconds: float) -> bool:
        """Wait until everything marked so far is sent, at most ``seconds``; True when it is."""
        with self._condition:
            return self._condition.wait_for(lambda: not self._changed and not self._busy, seconds)

    def _run(self) -> None:
        loop = asyncio.new_event_loop()
        while True:
            with self._condition:
                self._condition.wait_for(lambda: bool(self._changed), self._seconds_to_echo())
                batch, self._changed, self._busy = self._changed | self._due_echoes(), set(), True
            left = {experiment_id for experiment_id in batch if not self._announce(loop, experiment_id)}
            connection.close()
            with self._condition:
                self._changed |= left
                self._busy = False
                self._condition.notify_all()
            if left:
                time.sleep(_OUTAGE_PAUSE_S if self._broker_away else TURN_MS / 4000)

    def _seconds_to_echo(self) -> float | None:
        return max(0.0, min(self._echoes.values()) - time.monotonic()) if self._echoes else None

    def _due_echoes(self) -> set[int]:
        due = {experiment_id for experiment_id, at in self._echoes.items() if at <= time.monotonic()}
        for experiment_id in due:
            del self._echoes[experiment_id]
        return due

    def _announce(self, loop: asyncio.AbstractEventLoop, experiment_id: int) -> bool:
        """True when sent, or when there is nothing to send; False to try again."""
        try:
            sent = self._take_turn_and_send(loop, experiment_id)
        except (redis.RedisError, OSError, TimeoutError) as error:
            if not self._broker_away:
                logger.warning("live pages get no updates: the broker is away (%s)", error)
            self._broker_away = True
            return False
        except Exception:
            logger.exception("the live state of experiment %d could not be sent", experiment_id)
            return True
        if self._broker_away:
            logger.info("the broker is back: live pages get updates again")
            self._back_since = time.monotonic()
        self._broker_away = False
        if sent and time.monotonic() - self._back_since < _ECHO_S:
            self._echoes[experiment_id] = time.monotonic() + _ECHO_S
        return sent

    def _take_turn_and_send(self, loop: asyncio.AbstractEventLoop, experiment_id: int) -> bool:
        from jobs.live import live_state
        from jobs.models import Experiment

        client = self._client()
        key = f"canopy:live:{experiment_id}"
        if not client.set(f"{key}:turn", 1, nx=True, px=TURN_MS):
            return False
        close_old_connections()
        experiment = Experiment.objects.filter(pk=experiment_id).first()
        if experiment is None:
            return True
        state = live_state(experiment, after=int(client.get(f"{key}:seq") or 0))
        layer = get_channel_layer()
        assert layer is not None
        send = layer.group_send(group_name(experiment.code), {"type": "experiment.changed", "state": state})
        loop.run_until_complete(asyncio.wait_for(send, _SEND_TIMEOUT_S))
        client.set(f"{key}:seq", state["seq"], ex=_MEMORY_S)
        return True

    def _client(self) -> redis.Redis:
        if self._redis is None:
            self._redis = redis.Redis.from_url(
                settings.CACHES["default"]["LOCATION"],
                socket_timeout=2,
                socket_connect_timeout=2,
                retry=Retry(NoBackoff(), 0),
            )
        return self._redis


announcer = Announcer()
