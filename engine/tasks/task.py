"""What a task is: how its problems are put to a model, how answers are drawn and judged, where its data comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
# A data set's own row -> a line of Canopy's problem format (docs/problem-format.md); None: the row is left out.
Convert = Callable[[Row], dict[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Hub:
    """A data set on the Hugging Face hub. ``configs``: read one after the other; empty: the default one."""

    path: str
    split: str
    configs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Example:
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Task:
    """Prompts are plain text to be continued, as the papers use them, never chats."""

    name: str
    title: str
    help: str  # what a person must bring, in a sentence or two
    verifier: str
    template: str  # with {question} once
    samples: int
    temperature: float
    max_tokens: int
    convert: Convert
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    few_shot: tuple[Example, ...] = ()
    hub: Hub | None = None

    def settings(self) -> dict[str, Any]:
        """The fields of a sampling experiment that the task decides."""
        return {
            "samples": self.samples,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": 0,
            "max_tokens": self.max_tokens,
            "stop": list(self.stop),
            "chat": False,
            "system": "",
            "template": self.template,
            "few_shot": [{"question": one.question, "answer": one.answer} for one in self.few_shot],
            "verifier": self.verifier,
        }
