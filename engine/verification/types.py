"""What every verifier answers, and what a verifier is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol

Outcome = Literal["correct", "wrong", "error", "timeout"]

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

    def __post_init__(self) -> None:
        for name in ("answer", "canonical", "reason"):
            object.__setattr__(self, name, _shown(getattr(self, name)))

    def took(self, seconds: float) -> Verdict:
        """The same verdict with the time that grading took."""
        return replace(self, seconds=seconds)


class Verifier(Protocol):
    """Compares an answer text with the gold answer."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str:
        """For the form."""

    @property
    def help(self) -> str: ...

    @property
    def isolated(self) -> bool:
        """True: may hang or eat memory on hostile text, so it runs in a killable process."""

    def grade(self, text: str, gold: str) -> Verdict: ...


def _shown(text: str) -> str:
    """At most MAX_SHOWN characters that any database stores."""
    text = text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"
