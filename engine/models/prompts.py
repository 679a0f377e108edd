"""Prompts as token ids, split into what all problems share and what is each problem's own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

PLACEHOLDER = "{question}"
# Questions that begin in as many ways as a tokenizer's rules tell apart (letter, digit, space, line break,
# punctuation, other scripts): tokens equal under all of them end before the question can change them.
_PROBES = ("A", "the", "7", " a", "\n", "\n\n", "(", "$", ".", "é", "中", "🙂", "'s", "_", "-", '"', "\\")


class PromptError(ValueError):
    """A template cannot be rendered; the message says what to change."""


def render_prompts(
    tokenizer: Any,
    *,
    template: str,
    few_shot: Sequence[tuple[str, str]] = (),
    questions: Sequence[str],
    chat: bool = False,
    system: str = "",
) -> tuple[list[int], list[list[int]]]:
    """Token ids (root, one prompt per question): root + prompts[i] is exactly the whole prompt tokenised.

    template: text of one question, with {question} in it once. few_shot: (question, answer) pairs shown first.
    chat: render through the tokenizer's chat template, few-shot pairs as earlier turns; else as plain text,
    blocks parted by an empty line. system: the system message, or the plain prompt's first block.

    The root depends on the template, few-shot pairs and system text, not on `questions` (so that every shard of
    an experiment has the same one), unless a question changes the tokens before it, which no tokenizer rule
    we know does; then it is shortened for this call. Raises PromptError.
    """
    if template.count(PLACEHOLDER) != 1:
        raise PromptError(f"the template must contain {PLACEHOLDER} exactly once")
    if chat and not getattr(tokenizer, "chat_template", None):
        raise PromptError("this model's tokenizer has no chat template: turn chat off")

    def tokens(question: str) -> list[int]:
        if chat:
            return _chat_tokens(tokenizer, template, few_shot, question, system)
        return _plain_tokens(tokenizer, template, few_shot, question, system)

    prompts = [tokens(question) for question in questions]
    root = _common_prefix([tokens(probe) for probe in _PROBES])
    for prompt in prompts:
        root = _common_prefix([root, prompt])
    return root, [prompt[len(root) :] for prompt in prompts]


def _common_prefix(sequences: Sequence[Sequence[int]]) -> list[int]:
    same = takewhile(lambda column: len(set(column)) == 1, zip(*sequences, strict=False))
    return [column[0] for column in same]


def _fill(template: str, question: str) -> str:
    # Not str.format: questions and templates are full of braces.
    return template.replace(PLACEHOLDER, question)


def _chat_tokens(
    tokenizer: Any, template: str, few_shot: Sequence[tuple[str, str]], question: str, system: str
) -> list[int]:
    messages = [{"role": "system", "content": system}] if system else []
    for shown, answer in few_shot:
        messages.append({"role": "user", "content": _fill(template, shown)})
        messages.append({"role": "assistant", "content": answer})
    messages.append({"role": "user", "content": _fill(template, question)})
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # chat templates raise their own errors, such as "system role not supported"
        raise PromptError(f"the model's chat template refuses these messages: {error}") from error
    # The chat template has written the special tokens already.
    return list(tokenizer(text, add_special_tokens=False).input_ids)


def _plain_tokens(
    tokenizer: Any, template: str, few_shot: Sequence[tuple[str, str]], question: str, system: str
) -> list[int]:
    blocks = [system] if system else []
    gap = "" if template[-1].isspace() else " "
    blocks += [_fill(template, shown) + gap + answer for shown, answer in few_shot]
    ids = list(tokenizer("\n\n".join([*blocks, _fill(template, question)])).input_ids)
    # A few tokenizers end every text with EOS, after which a model would start a new one.
    return ids[:-1] if ids and ids[-1] == tokenizer.eos_token_id else ids
