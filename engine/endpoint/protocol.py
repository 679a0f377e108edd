"""The OpenAI protocol's words: a call's body, and what its answer says. No network here.

https://platform.openai.com/docs/api-reference: /chat/completions and /completions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_FINISH = {"stop": "stop", "eos": "eos", "length": "length", "content_filter": "filtered"}
_LONGEST_FINISH = 10
# Left out when a server refuses them: without them the samples are the same, only less is known about them.
OPTIONAL = ("logprobs", "seed")


class MalformedAnswer(ValueError):
    """The server's answer is not what the protocol says."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One problem's prompt. ``chat``: few-shot pairs are turns of a conversation, else everything is one text."""

    system: str
    few_shot: tuple[tuple[str, str], ...]
    template: str  # with {question}
    chat: bool

    def body(self, question: str) -> dict[str, Any]:
        """The part of the body that holds the prompt; plain text is joined as for models of our own."""
        if not self.chat:
            gap = "" if self.template[-1:].isspace() else " "
            blocks = [self.system] if self.system else []
            blocks += [self._fill(shown) + gap + answer for shown, answer in self.few_shot]
            return {"prompt": "\n\n".join([*blocks, self._fill(question)])}
        messages = [{"role": "system", "content": self.system}] if self.system else []
        for shown, answer in self.few_shot:
            messages += [{"role": "user", "content": self._fill(shown)}, {"role": "assistant", "content": answer}]
        return {"messages": [*messages, {"role": "user", "content": self._fill(question)}]}

    def _fill(self, question: str) -> str:
        return self.template.replace("{question}", question)

    @property
    def path(self) -> str:
        return "/chat/completions" if self.chat else "/completions"


@dataclass(frozen=True, slots=True)
class Params:
    """How tokens are drawn, as in ``engine.sampling.SamplingParams``."""

    temperature: float
    top_p: float
    top_k: int
    max_tokens: int
    stop: tuple[str, ...]
    seed: int
    min_p: float = 0.0

    def body(self, n: int, seed: int, *, chat: bool) -> dict[str, Any]:
        body: dict[str, Any] = {
            "n": n,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_tokens,
            "seed": seed,
            "logprobs": True if chat else 0,  # the chosen tokens' own, no alternatives
        }
        if self.stop:
            body["stop"] = list(self.stop)
        # No part of the protocol; vLLM and others know them. Never left out silently: they change what is drawn.
        body |= {name: value for name, value in (("top_k", self.top_k), ("min_p", self.min_p)) if value}
        return body


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer. ``logprob``: the sum over its tokens in nats. None: the server does not tell."""

    text: str
    tokens: int | None
    logprob: float | None
    finish: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back from one call. ``prompt_tokens``: what the server counted for the prompt, once a call."""

    choices: tuple[Choice, ...]
    prompt_tokens: int


def read_answer(body: Any) -> Answer:
    """The answer in a decoded body. Raises MalformedAnswer.

    Some servers tell no log-probabilities, and with them no length of each answer. Then the call's completion tokens
    are shared out evenly, so that sums and means are right.
    """
    if not isinstance(body, Mapping) or not isinstance(body.get("choices"), list) or not body["choices"]:
        raise MalformedAnswer("it has no choices")
    usage = body.get("usage") if isinstance(body.get("usage"), Mapping) else {}
    assert isinstance(usage, Mapping)
    total, count = _count(usage.get("completion_tokens")), len(body["choices"])
    is_counted = "completion_tokens" in usage
    choices = []
    for place, choice in enumerate(body["choices"]):
        if not isinstance(choice, Mapping):
            raise MalformedAnswer("a choice is no object")
        logprobs = _logprobs(choice.get("logprobs"))
        share = total // count + (place < total % count)
        choices.append(
            Choice(
                text=_text(choice),
                tokens=len(logprobs) if logprobs is not None else share if is_counted else None,
                logprob=math.fsum(logprobs) if logprobs is not None else None,
                finish=_finish(choice.get("finish_reason")),
            )
        )
    return Answer(tuple(choices), _count(usage.get("prompt_tokens")))


def _text(choice: Mapping[str, Any]) -> str:
    message = choice.get("message")
    text = message.get("content") if isinstance(message, Mapping) else choice.get("text")
    if text is None and isinstance(message, Mapping):
        return ""  # a refusal, or a call of a tool that nobody offered
    if not isinstance(text, str):
        raise MalformedAnswer("a choice has no text")
    return text


def _logprobs(value: Any) -> Sequence[float] | None:
    """Of the drawn tokens: ``content[].logprob`` in chats, ``token_logprobs`` else."""
    if not isinstance(value, Mapping):
        return None
    if isinstance(value.get("content"), list):
        found = [one.get("logprob") if isinstance(one, Mapping) else None for one in value["content"]]
    elif isinstance(value.get("token_logprobs"), list):
        found = value["token_logprobs"]
    else:
        return None
    good = [one for one in found if isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one)]
    return good if found and len(good) == len(found) else None


def _finish(reason: Any) -> str:
    return _FINISH.get(reason, reason[:_LONGEST_FINISH]) if isinstance(reason, str) else ""


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else 0
