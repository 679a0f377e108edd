"""Grades answers one by one, reuses verdicts of equal programs, and survives what it grades.

Three ways, by what a verifier does with hostile text. It only compares: here. It evaluates it in Python (math-verify
hands it to sympy, which on ``9^9^9^9`` neither ends nor can be interrupted): in a child process that is killed when
the time is over, and replaced for the next answer. It runs it: in engine.sandbox, a new one for every program.
A killed or crashed grader is an outcome of its own, never "wrong".
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import subprocess
import sys
import sysconfig
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from engine.sandbox import probe
from engine.sandbox.process import Running, python, start
from engine.sandbox.types import Level, Limits, Refused, Task
from engine.verification.child import MEMORY_BYTES
from engine.verification.registry import get_verifier
from engine.verification.settings import Settings
from engine.verification.types import Bench, Gold, Unfit, Verdict, Verifier

# A hard but honest answer takes under a second; ten leave room for a busy machine (EvalPlus lost half its score to a
# limit of 50 ms, github.com/evalplus/evalplus/issues/5).
ITEM_SECONDS = 10.0
_START_SECONDS = 120.0  # importing sympy on a cold disk
_TICK = 0.5
_LIFETIME_SECONDS = 1e6  # of CPU time
# The folder above the package cannot be listed in there, so the package is found without looking for it.
_CHILD = """
import importlib.util, sys
sys.path[:0] = {path!r}
spec = importlib.util.spec_from_file_location("engine", {engine!r} + "/__init__.py")
sys.modules["engine"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["engine"])
from engine.verification.child import main
main()
"""
_ROOT = Path(__file__).resolve().parent.parent.parent
_MAX_TEXT = 200_000  # characters of an answer that are looked at; the end is kept, where final answers stand
_MAX_CACHED = 50_000  # verdicts, some 500 bytes each

Item = tuple[str, Gold]
_Key = tuple[str, str, str]


class Grader:
    """Warm from shard to shard: one child process, started when first needed, and the verdicts of earlier programs.

    ``cache``: how many verdicts are kept for equal programs; 0 asks every time. Not thread-safe.
    """

    def __init__(self, item_seconds: float = ITEM_SECONDS, cache: int = _MAX_CACHED) -> None:
        self._item_seconds = item_seconds
        self._child: _Child | None = None
        self._unread = b""
        self._cached: OrderedDict[_Key, Verdict] = OrderedDict()
        self._max_cached = cache

    def grade(
        self,
        verifier: str,
        items: Iterable[Item],
        settings: Settings | None = None,
        alive: Callable[[], None] | None = None,
    ) -> Iterator[Verdict]:
        """A Verdict for each (text, gold), in order. ``alive`` is called every half second of waiting.

        Raises Refused when this worker's sandbox does not hold well enough to run anything.
        """
        chosen = get_verifier(verifier)
        bench = Bench(settings or Settings(), alive or _nothing)
        digest = _Digest(bench.settings)
        for text, gold in items:
            started = time.monotonic()
            essence = chosen.essence(text[-_MAX_TEXT:]) if self._max_cached else None
            if essence is None:
                verdict = self._verdict(chosen, text[-_MAX_TEXT:], gold, bench)
            else:
                key = (verifier, hashlib.sha256(essence.encode("utf-8", "replace")).hexdigest(), digest.of(gold))
                verdict = self._cached.get(key) or self._verdict(chosen, text[-_MAX_TEXT:], gold, bench)
                self._keep(key, verdict)
            yield verdict.took(time.monotonic() - started)

    def close(self) -> None:
        """Kill the child, if there is one."""
        if self._child is not None:
            self._child.kill()
        self._child, self._unread = None, b""

    def __enter__(self) -> Grader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _verdict(self, verifier: Verifier, text: str, gold: Gold, bench: Bench) -> Verdict:
        if verifier.isolated:
            return self._grade_in_child(verifier.name, text, gold, bench.alive)
        try:
            return verifier.grade(text, gold, bench)
        except Refused:
            raise
        except Unfit as error:
            return Verdict("error", reason=str(error))
        except Exception as error:  # none of what goes wrong here says that the answer is wrong
            return Verdict("error", reason=f"{type(error).__name__}: {error}")

    def _keep(self, key: _Key, verdict: Verdict) -> None:
        """Errors are asked again: they may have been the worker's."""
        if verdict.outcome == "error":
            return
        self._cached[key] = verdict
        self._cached.move_to_end(key)
        if len(self._cached) > self._max_cached:
            self._cached.popitem(last=False)

    def _grade_in_child(self, verifier: str, text: str, gold: Gold, alive: Callable[[], None]) -> Verdict:
        level = ""
        started = time.monotonic()
        try:
            level = self._ensure_child(alive).level
            started = time.monotonic()
            self._send({"verifier": verifier, "text": text, "gold": gold.answer, "seconds": self._item_seconds})
            verdict = replace(Verdict(**self._receive(self._item_seconds, alive)), level=level)
        except TimeoutError:
            self.close()
            verdict = Verdict("timeout", reason=f"Not decided within {self._item_seconds:g} s.", level=level)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            code = self._child.process.wait() if self._child else None
            self.close()
            verdict = Verdict("error", reason=f"The grader crashed (exit status {code}).", level=level)
        return verdict.took(time.monotonic() - started)

    def _ensure_child(self, alive: Callable[[], None]) -> _Child:
        if self._child is not None and self._child.process.poll() is None:
            return self._child
        self.close()
        self._child = _start_child()
        try:
            self._receive(_START_SECONDS, alive)
        except (EOFError, TimeoutError) as error:
            self.close()
            raise RuntimeError("the grader process does not start; is math-verify installed?") from error
        return self._child

    def _send(self, message: dict[str, Any]) -> None:
        assert self._child is not None
        self._child.questions.write(json.dumps(message).encode() + b"\n")
        self._child.questions.flush()

    def _receive(self, seconds: float, alive: Callable[[], None]) -> dict[str, Any]:
        """The child's next line. Raises TimeoutError after ``seconds`` and EOFError when the child is gone."""
        assert self._child is not None
        descriptor = self._child.answers.fileno()
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


@dataclass(frozen=True, slots=True)
class _Child:
    """The process that evaluates expressions, and our ends of its pipes."""

    process: subprocess.Popen[bytes]
    questions: IO[bytes]
    answers: IO[bytes]
    sandbox: Running | None

    @property
    def level(self) -> str:
        return self.sandbox.level.label if self.sandbox else ""

    def kill(self) -> None:
        if self.sandbox is not None:
            self.sandbox.kill()
        else:
            self.process.kill()
            self.process.wait()
        with contextlib.suppress(OSError):  # an unsent question
            self.questions.close()
        self.answers.close()


def _start_child() -> _Child:
    """In the sandbox where the machine has one: sympy reads plain expressions with eval. Elsewhere under the child's
    own limits, because an answer is not a program and no level is asked for."""
    questions_out, questions_in = os.pipe()
    answers_out, answers_in = os.pipe()
    level = probe.examine().level
    sandbox: Running | None = None
    try:
        if level >= Level.CONFINED:
            sandbox = start(_child_task(), level, questions_out, answers_in, subprocess.DEVNULL)
            process = sandbox.process
        else:
            # No session of its own: whoever kills the runner's process group takes the grader with it.
            process = subprocess.Popen(
                [sys.executable, "-m", "engine.verification.child"],
                cwd=_ROOT,
                stdin=questions_out,
                stdout=answers_in,
                stderr=subprocess.DEVNULL,
            )
    except BaseException:
        os.close(questions_in)
        os.close(answers_out)
        raise
    finally:
        os.close(questions_out)
        os.close(answers_in)
    return _Child(process, os.fdopen(questions_in, "wb"), os.fdopen(answers_out, "rb", buffering=0), sandbox)


def _child_task() -> Task:
    packages = dict.fromkeys(Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib"))
    code = _CHILD.format(path=[*map(str, packages)], engine=str(_ROOT / "engine"))
    # The child lives long and sets itself a CPU limit for each answer.
    limits = Limits(seconds=_LIFETIME_SECONDS, memory=MEMORY_BYTES)
    return Task(python("-c", code), read=(_ROOT / "engine", *packages), limits=limits)


class _Digest:
    """Hashes of golds under some settings. The samples of a problem share one Gold object, whose tests may be large."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.as_job()
        self._known: dict[int, tuple[Gold, str]] = {}

    def of(self, gold: Gold) -> str:
        if id(gold) not in self._known:
            whole = json.dumps([self._settings, gold.answer, dict(gold.checks)], sort_keys=True)
            # The object is kept with its hash, so that its id cannot become another's.
            self._known[id(gold)] = gold, hashlib.sha256(whole.encode()).hexdigest()
        return self._known[id(gold)][1]


def grade_many(
    verifier: str, items: Iterable[Item], settings: Settings | None = None, item_seconds: float = ITEM_SECONDS
) -> list[Verdict]:
    """The verdicts of many (text, gold) pairs, with a grader of their own."""
    with Grader(item_seconds) as grader:
        return list(grader.grade(verifier, items, settings))


def _nothing() -> None:
    pass
