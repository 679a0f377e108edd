"""root + prompt is the whole prompt's own tokenisation, and the root does not depend on the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.models import Model, PromptError, render_prompts
from tests.tiny_model import build_tokenizer

TOKENIZER = build_tokenizer()
FEW_SHOT = [("1 + 1?", "The answer is 2."), ("2 + 3?", "The answer is 5.")]
TEMPLATE = "Question: {question}\nAnswer:"


def text(ids: list[int]) -> str:
    return str(TOKENIZER.decode(ids, skip_special_tokens=False))


def test_plain_prompt_reads_as_written() -> None:
    root, [prompt] = render_prompts(
        TOKENIZER, template=TEMPLATE, few_shot=FEW_SHOT, questions=["How many apples?"], system="Add."
    )
    assert text([*root, *prompt]) == (
        "Add.\n\nQuestion: 1 + 1?\nAnswer: The answer is 2.\n\nQuestion: 2 + 3?\nAnswer: The answer is 5.\n\n"
        "Question: How many apples?\nAnswer:"
    )
    assert text(root).endswith("5.\n\nQuestion:")


def test_chat_prompt_reads_as_the_models_template_has_it() -> None:
    root, [prompt] = render_prompts(
        TOKENIZER, template="Q: {question}", few_shot=FEW_SHOT[:1], questions=["Why?"], chat=True, system="Add."
    )
    assert text([*root, *prompt]) == (
        "<|im_start|>system\nAdd.<|im_end|>\n<|im_start|>user\nQ: 1 + 1?<|im_end|>\n"
        "<|im_start|>assistant\nThe answer is 2.<|im_end|>\n<|im_start|>user\nQ: Why?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


@given(st.lists(st.text(max_size=12), min_size=1, max_size=4), st.booleans())
@settings(max_examples=80, deadline=None)
def test_tokens_are_those_of_the_whole_prompt(questions: list[str], chat: bool) -> None:
    args: dict[str, Any] = {"template": TEMPLATE, "few_shot": FEW_SHOT, "chat": chat}
    root, prompts = render_prompts(TOKENIZER, questions=questions, **args)
    other_root, _ = render_prompts(TOKENIZER, questions=["Something else"], **args)
    assert root == other_root
    for question, prompt in zip(questions, prompts, strict=True):
        shown = "".join(f"Question: {q}\nAnswer: {a}\n\n" for q, a in FEW_SHOT)
        if not chat:
            whole = f"{shown}Question: {question}\nAnswer:"
            assert [*root, *prompt] == TOKENIZER(whole).input_ids
        assert prompt, "each problem has tokens of its own"


def test_braces_in_questions_are_text() -> None:
    root, [prompt] = render_prompts(TOKENIZER, template=TEMPLATE, questions=["{x} {question} %s"])
    assert text([*root, *prompt]) == "Question: {x} {question} %s\nAnswer:"


@pytest.mark.parametrize("template", ["no place", "{question} {question}", ""])
def test_template_needs_the_question_once(template: str) -> None:
    with pytest.raises(PromptError, match="exactly once"):
        render_prompts(TOKENIZER, template=template, questions=["a"])


def test_chat_needs_a_chat_template() -> None:
    bare = build_tokenizer()
    bare.chat_template = None
    with pytest.raises(PromptError, match="turn chat off"):
        render_prompts(bare, template=TEMPLATE, questions=["a"], chat=True)


def test_chat_templates_own_refusal_is_passed_on() -> None:
    strict = build_tokenizer()
    strict.chat_template = "{{ raise_exception('System role not supported') }}"
    with pytest.raises(PromptError, match="System role not supported"):
        render_prompts(strict, template=TEMPLATE, questions=["a"], chat=True)


@pytest.mark.parametrize("family", ["qwen2", "gemma", "mistral"])
def test_saved_tokenizers_give_the_same_split(tiny_model: Callable[[str], Model], family: str) -> None:
    root, prompts = render_prompts(
        tiny_model(family).tokenizer, template=TEMPLATE, few_shot=FEW_SHOT, questions=["Why?", "How?"]
    )
    assert len(root) > 20 and all(prompts)
