"""Child processes that are started again when they end, and that never outlive the launcher."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # prctl(2)
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded before any fork
ROOT = Path(__file__).resolve().parent.parent.parent
_LAUNCHER = os.getpid()
LOG_LIMIT = 20 * 1024 * 1024  # bytes; a larger log is moved aside when its process starts again
CALM_SECONDS = 30.0  # a process that lived this long starts again at once
LONGEST_PAUSE = 30.0


def die_with_parent() -> None:
    """In a new child: have the kernel send SIGTERM when the launcher ends, however it ends."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != _LAUNCHER:  # it ended before the line above
            os._exit(1)


@dataclass
class Child:
    """One process of the installation. ``command`` is run in its own process group, its output goes to ``log``."""

    name: str
    command: list[str]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    starter: Callable[[int], subprocess.Popen[bytes]] | None = None  # instead of ``command``; gets the log's descriptor
    before: Callable[[], None] | None = None  # called before each start
    process: subprocess.Popen[bytes] | None = None
    _failures: int = 0
    _started: float = 0.0
    _not_before: float = 0.0

    def start(self) -> None:
        if self.before is not None:
            self.before()
        _move_large_log(self.log)
        with self.log.open("ab") as log:
            self.process = self.starter(log.fileno()) if self.starter else self._spawn(log.fileno())
        self._started = time.monotonic()

    def _spawn(self, log: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **self.environment},
            start_new_session=True,
            preexec_fn=die_with_parent,
        )

    def watch(self) -> str | None:
        """Start the process again when it has ended, later each time it fails; return a line to print, if any."""
        now = time.monotonic()
        if self.process is None:
            if now >= self._not_before:
                self.start()
            return None
        code = self.process.poll()
        if code is None:
            return None
        self.process = None
        self._failures = 0 if now - self._started > CALM_SECONDS else self._failures + 1
        pause = restart_pause(self._failures)
        self._not_before = now + pause
        return f"{self.name} ended ({describe_exit(code)}) and starts again in {pause:g} s; see {self.log}"

    def ask_to_stop(self) -> None:
        if self.process is not None:
            signal_group(self.process, signal.SIGTERM)

    def stop(self, seconds: float) -> None:
        """SIGTERM, then after ``seconds`` SIGKILL, to the whole process group."""
        if self.process is None:
            return
        self.ask_to_stop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        signal_group(self.process, signal.SIGKILL)
        self.process.wait()
        self.process = None


def restart_pause(failures: int) -> float:
    """Seconds to wait before the start after the given number of failures in a row: 0.5, 1, 2, ... 30."""
    return min(LONGEST_PAUSE, 0.5 * 2.0 ** max(0, min(failures, 10) - 1))


def describe_exit(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


def signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _move_large_log(path: Path) -> None:
    if path.exists() and path.stat().st_size > LOG_LIMIT:
        path.replace(path.with_suffix(".old.log"))
