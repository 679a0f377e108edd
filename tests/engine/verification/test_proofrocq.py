from __future__ import annotations

import json
import shutil

import pytest

from engine.problems import parse_jsonl
from engine.verification import Gold, Verdict, grade_many
from engine.verification.proofrocq import assumptions, coqc, not_a_proof, proof_script, statement_only
from tests.engine.verification.conftest import records

needs_coqc = pytest.mark.skipif(shutil.which("coqc") is None, reason="coqc is not installed (apt-get install coq)")
SUM = Gold(checks={"statement": "Theorem sum : 2 + 2 = 4.\nProof.\nAdmitted.", "theorem": "sum"})
FALSE = Gold(checks={"statement": "Theorem sum : 2 + 2 = 5.", "theorem": "sum"})
REAL = Gold(
    checks={
        "statement": "Require Import Reals.\nOpen Scope R_scope.\nTheorem halve : forall x : R, 2 * x = 6 -> x = 3.",
        "theorem": "halve",
    }
)


def grade(text: str, gold: Gold = SUM) -> Verdict:
    (verdict,) = grade_many("proof-rocq", [(text, gold)])
    return verdict


@pytest.mark.parametrize(
    "script",
    [
        "Admitted.",
        "intros. admit.",
        "give_up.",
        "reflexivity. Abort. Axiom a : False.",
        "Unset Guard Checking. reflexivity.",
        "Set Bullet Behavior None. reflexivity.",
        "Load evil.",
        'idtac "Closed under the global context". ',
        "#[bypass_check(guard)] reflexivity.",
        "Axiom cheat : False. destruct cheat.",
        "Definition x := 1. reflexivity.",
        "Redirect x Print nat.",
        "Show. reflexivity.",
        "- Locate nat.",
        "1: Info 0 reflexivity.",
        "Cd tmp.",
        "(* open",
        "*) reflexivity.",
        "(* (* *) Admitted. *) Print nat.",
        "",
        "(* nothing *)",
    ],
)
def test_what_is_no_proof_is_rejected_before_anything_runs(script: str) -> None:
    assert not_a_proof(script)
    verdict = grade(script)
    assert (verdict.outcome, verdict.level) == ("wrong", "")


@pytest.mark.parametrize(
    "script",
    [
        "reflexivity.",
        "intros x H. lra.",
        "- intro. - 1: auto. + { trivial. }",
        "all: (split; auto).",
        "(* a (* nested *) comment *) rewrite Nat.add_comm; auto with arith.",
        "[a]: exact I.",
        "2,3: auto.",
        "assert (x := 1). replace (2 * 3)%nat with 6%nat by lia.",
        "auto...",
    ],
)
def test_tactics_are_let_through(script: str) -> None:
    assert not_a_proof(script) == ""


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("reflexivity.", "reflexivity."),
        ("Proof.\n  reflexivity.\nQed.\n\nTheorem other : False.", "reflexivity."),
        ("Sure:\n```coq\nTheorem sum : 2 + 2 = 4.\nProof.\nauto.\nQed.\n```", "auto."),
    ],
)
def test_the_tactics_are_found(text: str, script: str) -> None:
    assert proof_script(text) == script


def test_the_statement_ends_where_its_proof_begins() -> None:
    assert statement_only("Theorem a : True.\nProof. Admitted.\n") == "Theorem a : True."


@pytest.mark.parametrize(
    ("output", "names"),
    [
        ("Closed under the global context\n", []),
        ("noise\nAxioms:\nfoo : nat\nbar\n  : long\n    type\n", ["foo", "bar"]),
        ("Axioms:\nx is assumed to be guarded.\n", ["x is assumed to be guarded."]),
        ("Closed under the global context\nmore", None),
        ("", None),
    ],
)
def test_printed_assumptions(output: str, names: list[str] | None) -> None:
    assert assumptions(output) == names


def test_without_coqc_the_verdict_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    coqc.cache_clear()
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    try:
        verdict = grade("reflexivity.")
    finally:
        coqc.cache_clear()
    assert (verdict.outcome, "coqc is not installed" in verdict.reason) == ("error", True)


@needs_coqc
@pytest.mark.usefixtures("isolated")
@pytest.mark.parametrize(
    ("script", "gold", "outcome", "reason"),
    [
        ("reflexivity.", SUM, "correct", ""),
        ("reflexivity.", FALSE, "wrong", "Unable to unify"),
        ("auto.", FALSE, "wrong", "incomplete proof"),
        ("intros x H. lra.", REAL, "correct", ""),
        ("idtac.", SUM, "wrong", "incomplete proof"),
        (
            "destruct cheat.",
            Gold(checks={"statement": "Axiom cheat : False.\nTheorem a : 1 = 2.", "theorem": "a"}),
            "wrong",
            "Assumes cheat",
        ),
        ("reflexivity.", Gold(checks={"statement": "Theorem a : nonsense.", "theorem": "a"}), "error", "nonsense"),
    ],
)
def test_checked_by_coqc(script: str, gold: Gold, outcome: str, reason: str) -> None:
    verdict = grade(script, gold)
    assert verdict.outcome == outcome, verdict
    assert reason in verdict.reason


@needs_coqc
@pytest.mark.usefixtures("isolated")
def test_a_true_and_a_false_problem_of_minif2f() -> None:
    record = next(r for r in records("minif2f-rocq/minif2f_rocq.json") if r["name"] == "mathd_algebra_478")
    (problem,) = parse_jsonl(json.dumps(record))
    proof = "intros b h v _ H Hb Hh. subst. lra."
    false = {**problem.checks, "statement": problem.checks["statement"].replace("v = 65", "v = 66")}
    assert grade(proof, Gold(checks=problem.checks)).outcome == "correct"
    assert grade(proof, Gold(checks=false)).outcome == "wrong"
