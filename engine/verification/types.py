"""What every verifier answers, what it gets, and what a verifier is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from engine.sandbox import probe
from engine.sandbox.process import run
from engine.sandbox.types import MIB, Level, Limits, Refused, Result, Task
from engine.verification.settings import Settings

Outcome = Literal["correct", "wrong", "error", "timeout"]

_PATIENCE = 3
MAX_SHOWN = 200  # characters of an answer, a canonical form or a reason that are kept


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of grading one text. Fails closed: only ``correct`` counts as solved.

    ``error`` and ``timeout`` say that the grader gave up, which is no statement about the answer.
    """

    outcome: Outcome
    answer: str = ""  # as extracted from the text; empty when there was none
    canonical: str = ""  # answers that the verifier holds equal share it, as far as that is cheap to know
    reason: str = ""  # why, in words, unless plainly correct
    seconds: float = 0.0
    level: str = ""  # of the sandbox in which something was run; empty when nothing was

    def __post_init__(self) -> None:
        for name in ("answer", "canonical", "reason"):
            object.__setattr__(self, name, _shown(getattr(self, name)))

    def took(self, seconds: float) -> Verdict:
        """The same verdict with the time that grading took."""
        return replace(self, seconds=seconds)


@dataclass(frozen=True, slots=True)
class Gold:
    """What an answer is measured by: the gold answer, and what engine.problems reads besides (tests, a statement)."""

    answer: str = ""
    checks: Mapping[str, Any] = field(default_factory=dict)


class Unfit(Exception):
    """The problem lacks what this verifier needs. The text says which key; see docs/problem-format.md."""


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Bench:
    """What a verifier may use on this worker. ``alive`` wants to be called at least every few seconds."""

    settings: Settings = field(default_factory=Settings)
    alive: Callable[[], None] = _nothing

    @property
    def level(self) -> Level:
        """The sandbox's level. Raises Refused when it is below the operator's minimum."""
        found = probe.examine()
        if found.level < max(Level.CONFINED, self.settings.minimum_level):
            raise Refused(
                f"This worker's sandbox reaches the level {found.level.label}, and at least "
                f"{max(Level.CONFINED, self.settings.minimum_level).label} is asked for: nothing was run. "
                f"{found.missing or 'Lower CANOPY_SANDBOX_MINIMUM, if that is safe here.'}"
            )
        return found.level

    def run(self, task: Task) -> Result:
        """Run a program in the sandbox. Raises Refused and SandboxError."""
        return run(task, self.level, self.alive)

    def limits(self, seconds: float | None = None, **changes: Any) -> Limits:
        """The experiment's limits for one program: ``seconds`` of computing, and three times as many by the clock, so
        that a machine that is busy with other things does not turn right programs into late ones."""
        allowed = seconds if seconds is not None else self.settings.seconds
        values: dict[str, Any] = {
            "seconds": _PATIENCE * allowed,
            "cpu": math.ceil(allowed),
            "memory": self.settings.memory_mb * MIB,
        }
        return Limits(**values | changes)


class Verifier(Protocol):
    """Compares an answer text with the gold."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str:
        """For the form."""

    @property
    def help(self) -> str: ...

    @property
    def requires(self) -> tuple[str, ...]:
        """Names of which a problem must have one: "answer", or a key of its checks. Empty: any problem will do."""

    @property
    def isolated(self) -> bool:
        """True: evaluates hostile text in Python, so that it runs in a killable process of its own."""

    def essence(self, text: str) -> str | None:
        """What of the text decides the verdict, so that equal programs are run once. None: ask again each time."""

    def grade(self, text: str, gold: Gold, bench: Bench) -> Verdict:
        """Raises Unfit, Refused; any other exception becomes the verdict "error"."""


def needed(gold: Gold, key: str) -> Any:
    """A check that the problem must have. Raises Unfit."""
    if key not in gold.checks:
        raise Unfit(f'The problem has no "{key}", which this verifier needs; docs/problem-format.md describes it.')
    return gold.checks[key]


def _shown(text: str) -> str:
    """At most MAX_SHOWN characters that any database stores."""
    text = text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"
