"""The supervisor's handle on its runner process: started when needed, kept warm, killed with all its children."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Queue
from typing import IO, Any

from jobs import protocol
from jobs.protocol import Message

ROOT = Path(__file__).resolve().parent.parent
_TAIL_CHARACTERS = 8_000
_TAIL_CHUNKS = 500  # reads of up to 4 KB
_LAST_WORDS_SECONDS = 0.5  # to read what is left in a dead process's pipe; a grandchild may hold it open
_MOST_WAITING = 20_000  # messages; a full queue makes the runner wait


class RunnerDied(Exception):
    """The runner process ended by itself or by somebody's hand; the text says how."""


class WarmRunner:
    """At most one runner process, used again as long as the module stays the same."""

    def __init__(self) -> None:
        self._module = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: IO[bytes] | None = None
        self._messages: Queue[Message | None] = Queue()
        self._output: deque[bytes] = deque(maxlen=_TAIL_CHUNKS)
        self._reader: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def run(self, job_id: str, module: str, stage: str, job: dict[str, Any], data_dir: Path) -> None:
        """Hand over a job; what it reports comes from ``receive``."""
        if self._process is not None and (self._process.poll() is not None or self._module != module):
            self.kill()
        if self._process is None:
            self._start(module)
        self._output.clear()
        self._send({"do": "run", "id": job_id, "module": module, "stage": stage, "job": job, "data_dir": str(data_dir)})

    def cancel(self, job_id: str) -> None:
        """Ask the job to stop by itself."""
        self._send({"do": "cancel", "id": job_id})

    def tell(self, job_id: str, news: dict[str, Any]) -> None:
        """Tell the job what it should know by now."""
        self._send({"do": "tell", "id": job_id, "news": news})

    def receive(self, seconds: float) -> Message | None:
        """The next message, or None after ``seconds``. Raises RunnerDied once all it said has been received."""
        try:
            message = self._messages.get(timeout=seconds)
        except Empty:
            # A grandchild may hold the pipe open, so its end alone does not tell.
            if self._process is not None and self._process.poll() is None:
                return None
            message = None
        if message is None:
            raise RunnerDied(self._describe_end())
        return message

    def kill(self) -> None:
        """End the process and everything it started, at once."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._requests is not None
        with contextlib.suppress(OSError):  # an unsent request, to a process that is gone
            self._requests.close()
        self._process = None

    def output_tail(self) -> str:
        """The last output (stdout and stderr) since the current job began; of a killed process, all that it wrote."""
        if self._process is None and self._reader is not None:
            self._reader.join(_LAST_WORDS_SECONDS)
        return protocol.clean_text(b"".join(self._output.copy()).decode("utf-8", "replace"))[-_TAIL_CHARACTERS:]

    def _start(self, module: str) -> None:
        requests_in, requests_out = os.pipe()
        messages_in, messages_out = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "jobs.runner", str(requests_in), str(messages_out), str(os.getpid())],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(requests_in, messages_out),
            start_new_session=True,
        )
        os.close(requests_in)
        os.close(messages_out)
        self._module = module
        self._requests = os.fdopen(requests_out, "wb")
        # New queues for a new process: a reader of the last one may still be at work.
        self._messages = Queue(_MOST_WAITING)
        self._output = deque(maxlen=_TAIL_CHUNKS)
        assert self._process.stdout is not None
        _in_background(_read_messages, os.fdopen(messages_in, "rb"), self._messages)
        self._reader = _in_background(_read_output, self._process.stdout, self._output)

    def _send(self, message: Message) -> None:
        assert self._requests is not None
        try:
            protocol.write(self._requests, message)
        except OSError:
            raise RunnerDied(self._describe_end()) from None

    def _describe_end(self) -> str:
        assert self._process is not None
        try:
            code = self._process.wait(2)
        except subprocess.TimeoutExpired:
            return "the runner closed its pipe"
        if self._reader is not None:
            self._reader.join(_LAST_WORDS_SECONDS)
        if code >= 0:
            return f"the runner ended with exit code {code}"
        hint = " (out of memory?)" if -code == signal.SIGKILL else ""
        return f"the runner was killed by {signal.Signals(-code).name}{hint}"


def _in_background(target: Callable[..., None], *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=target, args=arguments, daemon=True)
    thread.start()
    return thread


def _read_messages(pipe: IO[bytes], messages: Queue[Message | None]) -> None:
    with pipe:
        for line in pipe:
            try:
                message = protocol.parse(line)
            except ValueError:
                break  # cut off in the middle: the process was killed as it wrote
            messages.put(message)
    messages.put(None)


def _read_output(pipe: IO[bytes], output: deque[bytes]) -> None:
    with pipe:
        while chunk := os.read(pipe.fileno(), 4096):
            output.append(chunk)
