from __future__ import annotations

import pytest

from engine.verification import VERIFIERS, Bench, Gold, Verdict


def grade(text: str, gold: str) -> Verdict:
    return VERIFIERS["math-verify"].grade(text, Gold(gold), Bench())


@pytest.mark.parametrize(
    ("text", "gold"),
    [
        ("so $\\boxed{42}$", "42"),
        ("The answer is **73**", "73"),  # math-verify's issue 76
        ("#### 72\nQuestion: another?\n#### 80", "72"),
        ("first 5, then #### 7 apples", "7"),
        ("The total is 1,234 dollars.", "1234"),
        ("She pays $5 and then $7.", "7"),
        ("I think it is 1/2", "0.5"),
        ("\\boxed{\\frac{1}{2}}", "0.5"),
        ("$x^2+2x+1$", "(x+1)^2"),
        ("\\boxed{(3,\\frac{\\pi}{2})}", "\\left( 3, \\frac{\\pi}{2} \\right)"),
        ("3*x-1*y+13=0", "3x-y+13=0"),
        ("$0.3333333$", "1/3"),
        ("\\boxed{50\\%}", "50"),
        ("50%", "50\\%"),
        ("\\boxed{12 \\text{ cm}}", "12"),
        ("\\boxed{x=5}", "5"),
        ("\\boxed{\\{1,2\\}}", "\\{2,1\\}"),
        ("\\boxed{1{,}000}", "1000"),
        ("\\boxed{\\text{Monday}}", "\\text{Monday}"),
    ],
)
def test_right_answers(text: str, gold: str) -> None:
    assert grade(text, gold).outcome == "correct"


@pytest.mark.parametrize(
    ("text", "gold"),
    [
        ("$1/2004!$", "1/2006!"),  # issue 14: equal to six decimals
        ("$1-1/e$", "1+1/e"),
        ("$\\pm 2021$", "2021"),
        ("3*x-1*y+13=0", "5x-y+1=0"),  # issue 60: both parse to their last 0
        ("\\boxed{(1,2)}", "(2,1)"),
        ("\\boxed{[0,1)}", "[0,1]"),
        ("no idea", "5"),
        ("", "5"),
        ("$" + "1+" * 300 + "1$", "x"),
        ("y" * 300_000, "5"),
    ],
)
def test_wrong_answers(text: str, gold: str) -> None:
    verdict = grade(text, gold)
    assert verdict.outcome == "wrong"
    assert verdict.reason


def test_a_gold_answer_that_cannot_be_read_is_an_error_not_a_wrong_answer() -> None:
    assert grade("$5$", "").outcome == "error"


def test_equal_numbers_share_a_canonical_form() -> None:
    texts = ["#### 1,200", "$\\boxed{1200}$", "The answer is 1200.0", "**1200**"]
    assert {grade(text, "7").canonical for text in texts} == {"1200"}
