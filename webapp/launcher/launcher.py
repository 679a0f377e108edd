"""Starts everything in order, watches it, and stops it in order: web, workers, broker."""

from __future__ import annotations

import http.client
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import connections

from jobs.devices import visible_gpus
from webapp.launcher import ground, roster, valkey
from webapp.launcher.processes import Child
from webapp.launcher.trouble import Trouble

_WEB_START_SECONDS = 60.0
_WATCH_SECONDS = 0.2
_WEB_STOP_SECONDS = 5.0
_WORKER_STOP_SECONDS = 20.0  # longer than a worker's own limit
_BROKER_STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Opening:
    """Where the printed address leads, and a line below it."""

    path: str = ""
    hint: str = ""


@dataclass
class Launcher:
    """One installation on one machine. ``say`` prints a line; ``prepare`` is called once the database is migrated and
    the broker answers; what it returns is printed below the address."""

    host: str
    port: int
    say: Callable[[str], None]
    prepare: Callable[[], Opening] | None = None
    _stopping: bool = False

    @property
    def address(self) -> str:
        name = "localhost" if self.host in {"127.0.0.1", "::1", "0.0.0.0", "::"} else self.host
        return f"http://{name}:{self.port}"

    def run(self) -> None:
        """Run until SIGTERM or SIGINT. Raises Trouble when it cannot start."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)
        with ground.only_launcher(self.address):
            ground.check_port(self.host, self.port)
            ground.check_disk()
            ground.migrate()
            ground.collect_static()
            self._run_processes()

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _run_processes(self) -> None:
        logs = settings.DATA_DIR / "logs"
        logs.mkdir(mode=0o700, exist_ok=True)
        broker = None if settings.REDIS_URL else roster.broker(logs)
        web = roster.web(logs, self.host, self.port)
        background = [*roster.workers(logs), roster.reconciler(logs)]
        try:
            if broker is not None:
                broker.start()
                assert broker.process is not None
                valkey.wait_until_ready(broker.process)
            opening = self.prepare() if self.prepare else Opening()
            connections.close_all()  # nothing of this process's own is left open while it only watches
            for child in (web, *background):
                child.start()
            self._wait_for_web(web)
            self._welcome(logs, opening)
            self._watch([child for child in (broker, web, *background) if child])
        finally:
            _stop_in_order(web, background, broker)

    def _wait_for_web(self, web: Child) -> None:
        deadline = time.monotonic() + _WEB_START_SECONDS
        while not self._stopping and not self._web_answers():
            if web.process is None or web.process.poll() is not None:
                raise Trouble(f"The web process ended as it started: {last_line(web.log)} (more in {web.log})")
            if time.monotonic() > deadline:
                raise Trouble(f"The web process did not answer within {_WEB_START_SECONDS:g} s; see {web.log}.")
            time.sleep(0.1)

    def _web_answers(self) -> bool:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        connection = http.client.HTTPConnection(host, self.port, timeout=5)
        try:
            connection.request("HEAD", "/", headers={"Host": "localhost"})
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _welcome(self, logs: Path, opening: Opening) -> None:
        if self._stopping:
            return
        if not visible_gpus():
            self.say("No NVIDIA GPU was found: experiments run on the CPU, slowly but the same.")
        self.say(f"Canopy is running: {self.address}{opening.path}")
        if opening.hint:
            self.say(opening.hint)
        self.say(f"Stop it with Ctrl+C. Logs: {logs}")

    def _watch(self, children: list[Child]) -> None:
        while not self._stopping:
            for child in children:
                if line := child.watch():
                    self.say(line)
            time.sleep(_WATCH_SECONDS)


def _stop_in_order(web: Child, background: list[Child], broker: Child | None) -> None:
    web.stop(_WEB_STOP_SECONDS)
    for child in background:
        child.ask_to_stop()
    for child in background:
        child.stop(_WORKER_STOP_SECONDS)
    if broker is not None:
        broker.stop(_BROKER_STOP_SECONDS)


def last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
