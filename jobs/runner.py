"""The runner process: keeps a kind's model warm and does one shard after another. Imports no Django.

``python -m jobs.runner READ WRITE PARENT`` with two inherited pipe descriptors (see jobs.protocol) and the process id
of the supervisor. The process leads its own group, so that killing the group ends everything it started.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

from jobs import protocol
from jobs.protocol import Message

_ALIVE_EVERY_S = 0.5
_PR_SET_PDEATHSIG = 1


class PipeContext:
    """Context (see jobs.kinds.base) of one job, over the supervisor's pipe. Thread-safe."""

    def __init__(self, job_id: str, data_dir: Path, out: IO[bytes], lock: threading.Lock) -> None:
        self.data_dir = data_dir
        self.stop = threading.Event()
        self.news: Mapping[str, Any] = {}
        self._id = job_id
        self._out = out
        self._lock = lock
        self._said_alive = 0.0

    def send(self, kind: str, **fields: Any) -> None:
        with self._lock:
            protocol.write(self._out, {"is": kind, "id": self._id, **fields})

    @property
    def cancelled(self) -> bool:
        self.alive()
        return self.stop.is_set()

    def alive(self) -> None:
        now = time.monotonic()
        if now - self._said_alive >= _ALIVE_EVERY_S:
            self._said_alive = now
            self.send("alive")

    def progress(self, done: int) -> None:
        self.send("progress", done=int(done))

    def row(self, row: Any) -> None:
        self.send("row", row=dict(row))

    def metrics(self, values: Mapping[str, float], seconds: float) -> None:
        self.send("metrics", values={name: float(value) for name, value in values.items()}, seconds=float(seconds))

    def log(self, text: str, level: str = "info") -> None:
        self.send("log", text=text, level=level)

    def artifact(self, path: Path, name: str, content_type: str) -> None:
        self.send("artifact", path=str(Path(path).resolve()), name=name, content_type=content_type)


class Runner:
    """Reads requests on a thread of its own, so that a cancel is seen while a job runs."""

    def __init__(self, requests: IO[bytes], out: IO[bytes]) -> None:
        self._requests = requests
        self._out = out
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[Message] = SimpleQueue()
        self._cancelled: set[str] = set()
        self._told: Message | None = None
        self._current: PipeContext | None = None

    def serve(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()
        while True:
            self._do(self._jobs.get())

    def _read(self) -> None:
        for line in self._requests:
            message = protocol.parse(line)
            if message["do"] == "run":
                self._jobs.put(message)
                continue
            current = self._current
            is_current = current is not None and current._id == message["id"]
            if message["do"] == "tell":
                self._told = message
                if current is not None and is_current:
                    current.news = message["news"]
                continue
            self._cancelled.add(message["id"])
            if current is not None and is_current:
                current.stop.set()
        # The supervisor closed its end or is gone: nobody waits for results any more.
        os.killpg(os.getpgrp(), signal.SIGKILL)

    def _do(self, request: Message) -> None:
        context = PipeContext(request["id"], Path(request["data_dir"]), self._out, self._lock)
        self._current = context
        if request["id"] in self._cancelled:
            context.stop.set()
        if (told := self._told) is not None and told["id"] == request["id"]:
            context.news = told["news"]
        try:
            module = importlib.import_module(request["module"])
            module.run(request["stage"], request["job"], context)
        except Exception as error:
            final = bool(getattr(error, "is_final", False))  # it would fail again in the same way
            trace = "" if final else traceback.format_exc()  # the sentence says it all
            context.send("failed", reason=describe(error), trace=trace, final=final)
        else:
            context.send("stopped" if context.stop.is_set() else "done")
        finally:
            self._current = None
            sys.stdout.flush()
            sys.stderr.flush()


def describe(error: Exception) -> str:
    """The error in a line: its text, after the type's name where that says something."""
    text = " ".join(str(error).split()) or "no message"
    is_sentence = type(error) in (Exception, RuntimeError, ValueError) or getattr(error, "is_final", False)
    return text if is_sentence else f"{type(error).__name__}: {text}"


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above
        os._exit(1)


def main() -> None:
    read, write, parent = map(int, sys.argv[1:4])
    _die_with(parent)
    with os.fdopen(read, "rb") as requests, os.fdopen(write, "wb") as out:
        Runner(requests, out).serve()


if __name__ == "__main__":
    main()
