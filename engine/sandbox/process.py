"""Starts programs in the sandbox, follows them, and makes sure that nothing of them is left."""

from __future__ import annotations

import contextlib
import fcntl
import marshal
import math
import os
import resource
import secrets
import select
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from engine.sandbox.namespaces import HOME
from engine.sandbox.types import MIB, Config, Ending, Level, Refused, Result, SandboxError, Task
from engine.sandbox.view import PYTHON, grants, view

_ROOT = str(Path(__file__).resolve().parent.parent.parent)
_LAUNCH = "import sys; sys.path.insert(0, sys.argv.pop(1)); from engine.sandbox.launcher import main; main()"
# Root's programs run as users that nobody else is: above what systemd and containers hand out, below 2^31.
_FIRST_USER, _USERS = 1_900_000_000, 100_000_000
_TICK = 0.25  # seconds between signs of life and looks at the memory
_STARTING = 30.0  # seconds for putting the fence up, on a machine that is busy with other things
_GOODBYE = 5.0  # seconds for the launcher to end its namespace
_THREADS = 32  # beyond the processes; contest programs start one for a larger stack
_DESCRIPTORS = 128
_STACK = 256 * MIB
_PAGE = resource.getpagesize()

Alive = Callable[[], None]


def python(*arguments: str) -> tuple[str, ...]:
    """The command line of this Python: isolated from the environment, without site packages."""
    return (PYTHON, "-I", "-S", *arguments)


def run(task: Task, level: Level, alive: Alive | None = None) -> Result:
    """Run ``task`` to its end or its limit. Raises Refused when ``level`` is too low for it and SandboxError when the
    sandbox itself fails. ``alive`` is called several times a second."""
    (result,) = wait([start(task, level)], alive)
    return result


@dataclass(slots=True)
class Running:
    """A started program. Give it to ``wait``, or ``kill`` it."""

    task: Task
    level: Level
    process: subprocess.Popen[bytes]
    status: int  # read end of the launcher's pipe
    started: float  # until the fence is up; then when the program's own time began
    said: bytes = b""  # through the status pipe
    ending: Ending = "exited"
    output: dict[int, bytearray] = field(default_factory=dict)  # what came from each of our ends of its pipes

    def kill(self) -> None:
        """End it and everything it started, and close our ends of its pipes. When this returns, all of it is gone."""
        self.end()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        with contextlib.suppress(OSError):
            os.close(self.status)

    def end(self) -> None:
        """End all of its processes; what they wrote can still be read."""
        if self.process.poll() is not None:
            return
        if self.level == Level.ISOLATED:
            self.process.terminate()  # the launcher ends the namespace and then itself
            self._await_end(_GOODBYE)
        # Before it is waited for, so that the group's number is still ours: a launcher that was ended while it started
        # may have left init behind.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _await_end(self, seconds: float) -> None:
        pidfd = os.pidfd_open(self.process.pid)
        try:
            select.select([pidfd], [], [], seconds)
        finally:
            os.close(pidfd)


def start(
    task: Task, level: Level, stdin: int | None = None, stdout: int | None = None, stderr: int | None = None
) -> Running:
    """Start a program; the descriptors replace the task's own input and our capture of its outputs. It ends with the
    calling thread at the latest, because that is whose death the kernel tells it."""
    if level < task.needs:
        raise Refused(
            f"This program needs the sandbox level {task.needs.label}, and this worker reaches {level.label}: "
            "docs/verifiers.md says what a worker needs for each level."
        )
    user = _FIRST_USER + secrets.randbelow(_USERS) if os.geteuid() == 0 else 0
    config = _sealed(marshal.dumps(cast("dict[str, Any]", _config(task, level, user))))
    payload = _sealed(task.payload)
    source = stdin if stdin is not None else _sealed(task.stdin)
    status_out, status_in = os.pipe()
    started = time.monotonic()
    try:
        process = subprocess.Popen(
            [*python("-c", _LAUNCH), _ROOT, str(config), str(status_in), str(payload)],
            stdin=source,
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE if stderr is None else stderr,
            env={},
            cwd="/",
            pass_fds=(config, status_in, payload),
            start_new_session=True,
        )
    except OSError as error:
        os.close(status_out)
        raise SandboxError(f"the sandbox cannot be started: {error}") from error
    finally:
        for descriptor in {config, payload, status_in} | ({source} if stdin is None else set()):
            os.close(descriptor)
    return Running(task, level, process, status_out, started)


def wait(running: Sequence[Running], alive: Alive | None = None) -> list[Result]:
    """Follow programs until the first of them ends or exceeds a limit; then end all. Results in the given order."""
    leader = running[0]
    watched = [each for each in running if each.task.limits.processes > 1]
    pidfd = os.pidfd_open(leader.process.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(pidfd, selectors.EVENT_READ)
            for each in running:
                _listen(selector, each)
            _follow(selector, leader, pidfd, watched, alive or _nothing)
    finally:
        os.close(pidfd)
        for each in running:
            if each.ending == "exited" and each.process.poll() is None:
                each.ending = "stopped"
            each.end()
    return [_result(each) for each in running]


# --- inside -----------------------------------------------------------------------------------------------------------


def _follow(
    selector: selectors.BaseSelector, leader: Running, pidfd: int, watched: Sequence[Running], alive: Alive
) -> None:
    """Until ``leader`` ended, or any program exceeded a limit."""
    looked = time.monotonic()
    while True:
        now = time.monotonic()
        deadline = leader.started + (leader.task.limits.seconds if leader.said else _STARTING)
        if now >= deadline:
            leader.ending = "timeout"
            return
        events = selector.select(min(_TICK, deadline - now))
        if not all(_take(selector, key.fd, key.data) for key, _ in events if key.fd != pidfd):
            return
        if any(key.fd == pidfd for key, _ in events):
            return
        alive()
        if watched and time.monotonic() - looked > _TICK:
            looked = time.monotonic()
            for each in watched:
                if _resident(each.process.pid) > each.task.limits.memory:
                    each.ending = "memory"
                    return


def _listen(selector: selectors.BaseSelector, running: Running) -> None:
    for pipe in (running.process.stdout, running.process.stderr):
        if pipe is not None:
            os.set_blocking(pipe.fileno(), False)
            running.output[pipe.fileno()] = bytearray()
            selector.register(pipe, selectors.EVENT_READ, running)
    os.set_blocking(running.status, False)
    selector.register(running.status, selectors.EVENT_READ, running)


def _take(selector: selectors.BaseSelector, descriptor: int, running: Running) -> bool:
    """Read what is there. False when the program wrote more than it may."""
    chunk = os.read(descriptor, 65_536)
    if not chunk:
        selector.unregister(descriptor)
    if descriptor == running.status:
        if not running.said and chunk:
            running.started = time.monotonic()
        running.said += chunk
        return True
    kept = running.output[descriptor]
    kept += chunk
    if len(kept) <= running.task.limits.output:
        return True
    del kept[running.task.limits.output :]
    running.ending = "output"
    return False


def _result(running: Running) -> Result:
    seconds = time.monotonic() - running.started
    code = running.process.wait()
    stdout, stderr = (_rest(running, pipe) for pipe in (running.process.stdout, running.process.stderr))
    with contextlib.suppress(BlockingIOError):
        while chunk := os.read(running.status, 4096):
            running.said += chunk
    running.kill()
    words = running.said.decode(errors="replace").partition("ready\n")
    failed, ended = (_after(word, words[0] + words[2]) for word in ("failed: ", "ended "))
    if failed:
        raise SandboxError(f"the sandbox cannot be put up: {failed}")
    if ended:
        code = os.waitstatus_to_exitcode(int(ended))
    elif running.ending == "timeout" and not words[1]:
        raise SandboxError(f"the sandbox was not up after {_STARTING:g} s")
    elif running.ending == "exited" and running.level == Level.ISOLATED:
        raise SandboxError("the sandbox ended without saying how its program did")
    return Result(running.ending, code, stdout, stderr, seconds, running.level)


def _after(word: str, text: str) -> str:
    """The rest of the line that begins with ``word``."""
    return next((line.removeprefix(word) for line in text.splitlines() if line.startswith(word)), "")


def _rest(running: Running, pipe: IO[bytes] | None) -> bytes:
    """Everything that came through a pipe, including what is still in it."""
    if pipe is None:
        return b""
    kept = running.output.get(pipe.fileno(), bytearray())
    limit = running.task.limits.output
    with contextlib.suppress(BlockingIOError):
        while len(kept) <= limit and (chunk := os.read(pipe.fileno(), 65_536)):
            kept += chunk
    if len(kept) > limit and running.ending == "exited":
        running.ending = "output"
    return bytes(kept[:limit])


def _config(task: Task, level: Level, user: int) -> Config:
    isolated = level == Level.ISOLATED
    limits = task.limits
    shown, links = view(task.read)
    return {
        "level": int(level),
        "parent": os.getpid(),
        "user": user,
        "argv": list(task.argv),
        "env": {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": HOME if isolated else "/nonexistent",
            "TMPDIR": HOME if isolated else "/nonexistent",
            "LANG": "C.UTF-8",
            "PYTHONHASHSEED": "0",
            "OMP_NUM_THREADS": "1",
            **task.env,
        },
        "view": shown,
        "links": links,
        "grants": grants(shown, HOME if isolated else None),
        "files": dict(task.files),
        "disk": limits.disk,
        "forking": limits.processes > 1,
        "limits": [
            (resource.RLIMIT_CPU, math.ceil(limits.seconds) + 1),
            (resource.RLIMIT_AS, limits.memory),
            (resource.RLIMIT_STACK, _STACK),
            (resource.RLIMIT_FSIZE, limits.disk),
            (resource.RLIMIT_NOFILE, _DESCRIPTORS),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_MEMLOCK, 0),
            (resource.RLIMIT_MSGQUEUE, 0),
            (resource.RLIMIT_SIGPENDING, 1024),  # timers count too
            # Counted by user and user namespace: a confined program of an ordinary user shares its worker's count.
            (resource.RLIMIT_NPROC, limits.processes + _THREADS + (0 if isolated or user else _own_threads())),
        ],
    }


def _sealed(content: bytes) -> int:
    """A descriptor to read ``content`` from, which nobody can change any more."""
    descriptor = os.memfd_create("sandbox", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


def _resident(root: int) -> int:
    """Bytes of memory of a process and all its descendants. What ends meanwhile counts nothing."""
    children: dict[int, list[int]] = {}
    pages: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(folder.name))
                pages[int(folder.name)] = int(fields[21])
    total, waiting = 0, [root]
    while waiting:
        process = waiting.pop()
        total += pages.get(process, 0)
        waiting += children.get(process, [])
    return total * _PAGE


def _own_threads() -> int:
    """Threads of this user on this machine."""
    total = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if folder.stat().st_uid == os.getuid():
                    total += int((folder / "stat").read_bytes().rpartition(b")")[2].split()[17])
    return total


def _nothing() -> None:
    pass
