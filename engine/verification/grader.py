"""Grades answers one by one; what may hang or eat memory runs in a child process that can be killed.

math-verify hands model-written text to sympy, which on ``9^9^9^9`` neither ends nor can be interrupted from a thread.
So the parent waits with a limit, kills the child when it passes, and starts another for the next answer. A killed or
crashed grader is an outcome of its own, never "wrong".
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from engine.verification.registry import get_verifier
from engine.verification.types import Verdict

# A hard but honest answer takes under a second; ten leave room for a busy machine (EvalPlus lost half its score to a
# limit of 50 ms, github.com/evalplus/evalplus/issues/5).
ITEM_SECONDS = 10.0
_START_SECONDS = 120.0  # importing sympy on a cold disk
_TICK = 0.5
_MAX_TEXT = 200_000  # characters of an answer handed to the child


class Grader:
    """One child process, started when first needed and warm from then on. Not thread-safe."""

    def __init__(self, item_seconds: float = ITEM_SECONDS) -> None:
        self._item_seconds = item_seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._unread = b""

    def grade(
        self, verifier: str, items: Iterable[tuple[str, str]], alive: Callable[[], None] | None = None
    ) -> Iterator[Verdict]:
        """A Verdict for each (text, gold answer), in order. ``alive`` is called every half second of waiting."""
        chosen = get_verifier(verifier)
        for text, gold in items:
            started = time.monotonic()
            if chosen.isolated:
                yield self._grade_in_child(verifier, text[-_MAX_TEXT:], gold, alive or _nothing)
            else:
                verdict = chosen.grade(text, gold)
                yield verdict.took(time.monotonic() - started)

    def close(self) -> None:
        """Kill the child, if there is one."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
        self._child, self._unread = None, b""

    def __enter__(self) -> Grader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _grade_in_child(self, verifier: str, text: str, gold: str, alive: Callable[[], None]) -> Verdict:
        try:
            self._ensure_child(alive)
            started = time.monotonic()
            self._send({"verifier": verifier, "text": text, "gold": gold, "seconds": self._item_seconds})
            verdict = Verdict(**self._receive(self._item_seconds, alive))
        except TimeoutError:
            self.close()
            verdict = Verdict("timeout", reason=f"Not decided within {self._item_seconds:g} s.")
        except (EOFError, BrokenPipeError, ConnectionResetError):
            code = self._child.wait() if self._child else None
            self.close()
            verdict = Verdict("error", reason=f"The grader crashed (exit status {code}).")
        return verdict.took(time.monotonic() - started)

    def _ensure_child(self, alive: Callable[[], None]) -> None:
        if self._child is not None and self._child.poll() is None:
            return
        self.close()
        # No session of its own: whoever kills the runner's process group takes the grader with it.
        self._child = subprocess.Popen(
            [sys.executable, "-m", "engine.verification.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._receive(_START_SECONDS, alive)
        except (EOFError, TimeoutError) as error:
            self.close()
            raise RuntimeError("the grader process does not start; is math-verify installed?") from error

    def _send(self, message: dict[str, Any]) -> None:
        assert self._child is not None and self._child.stdin is not None
        self._child.stdin.write(json.dumps(message).encode() + b"\n")
        self._child.stdin.flush()

    def _receive(self, seconds: float, alive: Callable[[], None]) -> dict[str, Any]:
        """The child's next line. Raises TimeoutError after ``seconds`` and EOFError when the child is gone."""
        assert self._child is not None and self._child.stdout is not None
        descriptor = self._child.stdout.fileno()
        deadline = time.monotonic() + seconds
        while b"\n" not in self._unread:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if select.select([descriptor], [], [], min(left, _TICK))[0]:
                chunk = os.read(descriptor, 65_536)
                if not chunk:
                    raise EOFError
                self._unread += chunk
            else:
                alive()
        line, self._unread = self._unread.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line)
        return message


def grade_many(verifier: str, items: Iterable[tuple[str, str]], item_seconds: float = ITEM_SECONDS) -> list[Verdict]:
    """The verdicts of many (text, gold answer) pairs, with a grader of their own."""
    with Grader(item_seconds) as grader:
        return list(grader.grade(verifier, items))


def _nothing() -> None:
    pass
