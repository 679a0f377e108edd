from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.verification import VERIFIERS, Bench, Gold, Verdict
from engine.verification.gsm8k import canonical_number


def grade(text: str, gold: str) -> Verdict:
    return VERIFIERS["gsm8k"].grade(text, Gold(gold), Bench())


@pytest.mark.parametrize(
    ("text", "gold", "answer"),
    [
        ("5 + 7 = 12.\n#### 12", "12", "12"),
        ("#### $1,234", "1234", "$1,234"),
        ("#### -3.", "-3", "-3."),
        ("#### 7.50", "7.5", "7.50"),
        ("#### 12\n\nQuestion: next?\n#### 99", "12", "12"),  # the first match counts
    ],
)
def test_right_answers(text: str, gold: str, answer: str) -> None:
    verdict = grade(text, gold)
    assert (verdict.outcome, verdict.answer) == ("correct", answer)


@pytest.mark.parametrize("text", ["The answer is 12.", "####12", "#### twelve", "", "#### 13\n#### 12", "#### ,"])
def test_everything_else_is_wrong_with_a_reason(text: str) -> None:
    verdict = grade(text, "12")
    assert verdict.outcome == "wrong"
    assert verdict.reason


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9))
def test_spellings_of_one_number_share_a_canonical_form(number: Decimal) -> None:
    canonical = canonical_number(str(number))
    assert Decimal(canonical) == number
    assert canonical_number(f"{number:,}") == canonical
    assert canonical_number(f"${number}0") == canonical
    assert canonical_number(canonical) == canonical


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    assert grade("#### " + text, "1").outcome in {"correct", "wrong"}
    canonical_number(text)
