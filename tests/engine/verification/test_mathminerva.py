r"""Minerva's grading of MATH, on the examples that its normalisation's publication gives and on its known quirks."""

from __future__ import annotations

import pytest

from engine.problems import Problem
from engine.tasks import TASKS
from engine.verification import VERIFIERS, Bench, Gold, Settings, Unfit, Verdict, grade_many
from engine.verification.audit import audit
from engine.verification.mathminerva import is_equivalent, normalise


def said(answer: str) -> str:
    return f"So that is it.\nFinal Answer: The final answer is {answer}. I hope it is correct."


def grade(text: str, gold: str) -> Verdict:
    return VERIFIERS["math-minerva"].grade(text, Gold(gold), Bench())


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        # the comments of the published listing
        (r"\fracab", r"\frac{a}{b}"),
        (r"\frac{abc}{bef}", r"\frac{abc}{bef}"),
        (r"\fracabc", r"\frac{a}{b}c"),
        (r"\sqrta", r"\sqrt{a}"),
        (r"\sqrtab", r"\sqrt{a}b"),
        ("100,000", "100000"),
        # one for each of its rules
        ("x = 5", "5"),
        ("an apple", "apple"),
        (r"\$12", "12"),
        (r"$5.$", "5"),
        (r"1\ 000", "1000"),
        (r"\mbox{east}", "east"),
        (r"x,\text{and}y", "x,y"),
        (r"x \text{and} y", "x,y"),
        (r"7 \text{m}", "7"),
        ("12 square units", "12"),
        ("40 mph", "40"),
        (r"5\text{s}", "5"),
        (r"9\text{m}^2", "9"),
        (r"4^{\circ}", "4"),
        (r"4^\circ", "4"),
        (r"20\mathrm{th}", "20"),
        (r"1,\!234", "1234"),
        ("1{,}234", "1234"),
        (r"the value $x+1$ of it", "x+1"),
        (r"\textbf{(C)}", "(C)"),
        (r"\overline{36}", "36"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        # and what follows from them, faults included
        ("after", "aer"),
        ("2, 3", "23"),
        ("(1, 2)", "(1,2)"),
        ("", ""),
    ],
)
def test_normalisation_as_published(answer: str, normal: str) -> None:
    assert normalise(answer) == normal


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("$24$", "24"),  # the answers of Minerva's prompt
        ("$[2,5)$", "[2,5)"),
        ("$16$", "16"),
        (r"$-\frac{2}{3}$", r"-\frac{2}{3}"),
        ("0.5", r"\frac{1}{2}"),
        (r"\frac12", "1/2"),
        ("$x^2+2x+1$", "(x+1)^2"),
        (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}"),
        ("7.0", "7"),
        ("1,000", "1000"),
        (r"\text{Evelyn}", r"\text{Evelyn}"),
        ("(1,2)", "(1, 2)"),
    ],
)
def test_right_answers(answer: str, gold: str) -> None:
    assert grade(said(answer), gold).outcome == "correct"


@pytest.mark.parametrize(
    ("text", "gold"),
    [
        (said("8"), "7"),
        (said(r"\frac{1}{3}"), "0.3333"),
        (said("(2,1)"), "(1,2)"),
        (said("[0,1)"), "[0,1]"),
        (said("1,2,3"), "3,2,1"),  # no set is read as one
        ("The answer is $7$.", "7"),  # not in the form
        (r"So \boxed{7}.", "7"),
        ("Final Answer: The final answer is\n7. I hope it is correct.", "7"),
        ("", "7"),
        (said("1+" * 300 + "1"), "301"),
        (said("$\\frac{"), "2"),
        (said("dog"), "cat"),
    ],
)
def test_wrong_answers(text: str, gold: str) -> None:
    assert grade(text, gold).outcome == "wrong"


def test_the_first_answer_counts_and_a_cut_off_end_is_completed() -> None:
    assert grade(said("$5$") + "\n\nProblem: ...\n" + said("$6$"), "5").outcome == "correct"
    assert grade("Final Answer: The final answer is $5$. ", "5").outcome == "correct"


def test_what_was_found_is_told() -> None:
    verdict = grade(said("$x = 100,000$"), "100001")
    assert (verdict.answer, verdict.canonical, verdict.reason) == ("$x = 100,000$", "100000", "Expected 100001.")


def test_identical_text_needs_no_parser() -> None:
    """lm-evaluation-harness#2212: what cannot be parsed is equal to itself."""
    assert not is_equivalent(r"\frac{", r"\frac{")
    assert grade(said(r"\text{undefined}"), r"\text{undefined}").outcome == "correct"


def test_a_problem_without_an_answer_is_unfit() -> None:
    with pytest.raises(Unfit):
        grade(said("5"), " ")


def test_hostile_answers_are_killed_and_the_next_one_is_graded() -> None:
    items = [(said("$9^{9^{9^{9}}}+x$"), Gold("x")), (said("$x+1$"), Gold("1+x"))]
    outcomes = [verdict.outcome for verdict in grade_many("math-minerva", items, item_seconds=2.0)]
    assert outcomes[0] in {"timeout", "error", "wrong"} and outcomes[1] == "correct"


def test_an_audit_knows_the_form() -> None:
    (found,) = audit("math-minerva", [Problem("p", "q", r"\frac{1}{2}")], Settings(), repeats=1)
    assert not found.flags


def test_the_published_task_is_graded_in_paper_mode() -> None:
    task = TASKS["math"]
    assert task.verifier == "math-minerva"
    for example in task.few_shot:  # every example of the prompt shows the form, so that models take it up
        assert grade(example.answer, grade(example.answer, "?").answer).outcome == "correct"
