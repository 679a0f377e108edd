"""What every reader of results yields, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from engine.verification import Outcome

GIB = 2**30


class ExchangeError(ValueError):
    """A file of results that cannot be read. The message names the first place that is wrong and what to do."""

    is_final = True  # for jobs.runner: the file will not be better at another attempt


class Record(NamedTuple):
    """One graded sample as a file tells it. What the file does not tell is None or empty."""

    problem: str  # the file's own name of the problem
    outcome: Outcome
    place: str  # where it stands, for messages: "line 12"
    sample: str = ""  # the file's own name of the sample; may not repeat within a problem
    question: str = ""
    gold: str = ""
    answer: str = ""
    canonical: str = ""
    text: str | None = None
    tokens: int | None = None
    logprob: float | None = None
    self_certainty: float | None = None
    score: float | None = None  # of a reward model
    finish: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a file may hold. Each is checked while reading, so that a hostile file costs little before it ends."""

    unpacked_bytes: int = 8 * GIB  # of a .zip or .gz, all together
    value_bytes: int = 96 * 2**20  # of one line, one file in a .zip, or one value that is parsed as a whole
    ratio: int = 400  # unpacked to packed size of one file in a .zip; text rarely passes 50
    members: int = 1_000_000  # files in a .zip
    problems: int = 10_000
    samples: int = 5_000_000
    samples_per_problem: int = 10_000
    text: int = 1_000_000  # characters of one answer


@dataclass(frozen=True, slots=True)
class Options:
    """What a person may say about a file whose words are ambiguous. ``score``: which metric (lm-eval), scorer
    (Inspect) or test set ("base" or "plus", EvalPlus) decides;
    ``filter``: which filter of lm-eval. Empty: the first."""

    score: str = ""
    filter: str = ""


def outcome_of(value: object) -> Outcome | None:
    """The outcome that a cell or a JSON value means; None for one that means none.

    >>> outcome_of("True"), outcome_of(0), outcome_of("timeout"), outcome_of("maybe")
    ('correct', 'wrong', 'timeout', None)
    """
    if isinstance(value, str):
        return _WORDS.get(value.strip().lower())
    if value == 1:  # True among them
        return "correct"
    return "wrong" if value == 0 else None


_WORDS: dict[str, Outcome] = {
    **dict.fromkeys(("1", "1.0", "true", "t", "yes", "y", "correct", "pass", "passed", "c"), "correct"),
    **dict.fromkeys(("0", "0.0", "false", "f", "no", "n", "wrong", "incorrect", "fail", "failed", "i"), "wrong"),
    **dict.fromkeys(("timeout", "timed out"), "timeout"),
    "error": "error",
}


def clean(text: str) -> str:
    """Without what a database refuses: NUL, halves of surrogate pairs."""
    if "\0" in text:
        text = text.replace("\0", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def shown(text: object, longest: int = 80) -> str:
    """A stranger's text inside a message."""
    # Nothing nested: in YAML a short text can stand for gigabytes.
    plain = isinstance(text, str | int | float | None)
    found = clean(str(text)) if plain else f"a {type(text).__name__}"
    return repr(found if len(found) <= longest else found[: longest - 1] + "…")
