"""Canopy's real processes on the test database, to be started and killed at will."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import psutil
import redis
from django.conf import settings
from django.db import connection

from jobs.models import Queue
from webapp.launcher import ground, roster, valkey
from webapp.launcher.processes import Child, signal_group

T = TypeVar("T")


def wait_for(condition: Callable[[], T], seconds: float = 30) -> T:
    """Ask until the answer is true and return it; AssertionError after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not true within {seconds:g} s"
        time.sleep(0.05)
    return answer


def empty(broker: Child) -> None:
    """Make sure the broker runs, and delete everything in it."""
    if broker.process is None or broker.process.poll() is not None:
        broker.start()
    assert broker.process is not None
    valkey.wait_until_ready(broker.process)
    with redis.Redis(unix_socket_path=str(settings.VALKEY_SOCKET)) as client:
        client.flushall()


def database_url() -> str:
    """The DATABASE_URL of the test database, for other processes."""
    config = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite://{config['NAME']}"
    return f"postgresql://{config['USER']}@{quote(config['HOST'], safe='')}/{config['NAME']}"


class Stack:
    """The processes web, gpu, cpu, reconciler and broker. The broker runs from the start, the others by ``start``.

    ``environment`` is added to that of every process started after it was set.
    """

    def __init__(self, folder: Path, broker: Child) -> None:
        self.folder = folder
        self.environment = {"DATABASE_URL": database_url()}
        self._port = _free_port()
        self._children = {"broker": broker}

    @property
    def url(self) -> str:
        return f"http://localhost:{self._port}"

    def start(self, *names: str) -> None:
        """Start processes, all anew when killed before; ``web`` and ``broker`` answer when this returns."""
        for name in names:
            child = self._children.get(name) or self._make(name)
            child.environment |= self.environment
            child.start()
            self._children[name] = child
        if "web" in names:
            wait_for(self._web_answers)
        if "broker" in names:
            wait_for(valkey.answers)

    def add(self, child: Child) -> None:
        """Another process, known by ``child.name``, for ``start``."""
        self._children[child.name] = child

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send one process a signal, wait for its end."""
        process = self._children[name].process
        assert process is not None
        process.send_signal(number)
        process.wait(30)
        self._children[name].process = None

    def pid(self, name: str) -> int:
        process = self._children[name].process
        assert process is not None
        return process.pid

    def runner(self, worker: str) -> psutil.Process | None:
        """The runner process of a worker, if it has one."""
        for child in psutil.Process(self.pid(worker)).children():
            with suppress(psutil.NoSuchProcess):
                if "jobs.runner" in child.cmdline():
                    return child
        return None

    def log(self, name: str) -> str:
        """What a process printed."""
        path = self._children[name].log
        return path.read_text(errors="replace") if path.exists() else ""

    def _make(self, name: str) -> Child:
        match name:
            case "web":
                ground.collect_static()
                return roster.web(self.folder, "localhost", self._port)
            case "reconciler":
                return roster.reconciler(self.folder)
            case "gpu" | "cpu":
                return roster.worker(self.folder, name, Queue(name))
        raise ValueError(f"no process is called {name}")

    def _web_answers(self) -> bool:
        connection = http.client.HTTPConnection("localhost", self._port, timeout=5)
        try:
            connection.request("HEAD", "/")
            return connection.getresponse().status < 500
        except OSError:
            return False
        finally:
            connection.close()

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        for name, child in self._children.items():
            if name == "broker" or child.process is None:
                continue
            if (runner := self.runner(name)) is not None:
                with suppress(ProcessLookupError):
                    os.killpg(runner.pid, signal.SIGKILL)
            signal_group(child.process, signal.SIGKILL)
            child.process.wait()
            print(f"--- {name}\n{self.log(name)[-3000:]}")  # shown when the test failed


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port: int = probe.getsockname()[1]
        return port
