"""Against a server that speaks the Kimina protocol and judges as simply as the tests need."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.verification import Gold, Settings, Verdict, grade_many
from engine.verification.prooflean import judge, not_tactics, statement_only, tactics
from tests.engine.verification.conftest import JsonServer

STATEMENT = "import Mathlib\n\ntheorem sum_four (x : Nat) (h : x = 2) :\n    x + x = 4 := by sorry"
GOLD = Gold(checks={"statement": STATEMENT, "theorem": "sum_four"})


def message(data: str, severity: str = "info") -> dict[str, Any]:
    return {"severity": severity, "pos": {"line": 1, "column": 0}, "data": data}


def answer(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"results": [{"custom_id": "1", "error": None, "response": {"messages": list(messages), **more}}]}


CLEAN = message("'sum_four' does not depend on any axioms")


def grade(server: JsonServer, text: str, reply: Any, status: int = 200, key: str = "") -> tuple[Verdict, list[Any]]:
    seen: list[Any] = []

    def respond(path: str, body: Any) -> tuple[int, bytes]:
        seen.append((path, body))
        return status, reply if isinstance(reply, bytes) else json.dumps(reply).encode()

    server.reply = respond
    settings = Settings(lean_url=server.url, lean_key=key)
    (verdict,) = grade_many("proof-lean", [(text, GOLD)], settings)
    return verdict, seen


def test_the_server_gets_statement_tactics_and_the_question_for_axioms(json_server: JsonServer) -> None:
    verdict, seen = grade(json_server, "subst h\nrfl", answer(CLEAN), key="secret")
    assert verdict.outcome == "correct"
    ((path, body),) = seen
    assert (path, body["authorization"]) == ("/verify", "Bearer secret")
    (code,) = body["codes"]
    assert code["proof"] == (
        "import Mathlib\n\ntheorem sum_four (x : Nat) (h : x = 2) :\n    x + x = 4 := by\n"
        "  subst h\n  rfl\n\n#print axioms sum_four\n"
    )


@pytest.mark.parametrize(
    ("reply", "outcome", "reason"),
    [
        (answer(message("'sum_four' depends on axioms: [propext, Classical.choice,\n Quot.sound]")), "correct", ""),
        (answer(message("'sum_four' depends on axioms: [propext, cheat]")), "wrong", "Assumes cheat"),
        (answer(message("'sum_four' depends on axioms: [Lean.ofReduceBool]")), "wrong", "Lean.ofReduceBool"),
        (answer(message("'sum_four' depends on axioms: [sorryAx]")), "wrong", "sorryAx"),
        (answer(message("unsolved goals\n⊢ x = 4", "error"), CLEAN), "wrong", "unsolved goals"),
        (answer(message("declaration uses 'sorry'", "warning"), CLEAN), "wrong", "sorry"),
        (answer(CLEAN, sorries=[{"goal": "x"}]), "wrong", "sorry"),
        (answer(), "error", "did not say which axioms"),
        (answer(CLEAN, CLEAN), "error", "did not say which axioms"),
        (answer(message("'other' does not depend on any axioms")), "error", "did not say"),
        (answer(message("it is so that 'sum_four' does not depend on any axioms")), "error", "did not say"),
        ({"results": [{"error": "Lean REPL timed out in 60 s", "response": None}]}, "timeout", "timed out"),
        ({"results": [{"error": "the REPL crashed", "response": None}]}, "error", "crashed"),
        ({"results": [{"response": {"message": "Unknown environment."}}]}, "error", "Unknown environment"),
        ({"results": []}, "error", "another form"),
        ([1, 2], "error", "another form"),
        (b"<html>", "error", "not JSON"),
    ],
)
def test_answers(json_server: JsonServer, reply: Any, outcome: str, reason: str) -> None:
    verdict, _ = grade(json_server, "subst h; rfl", reply)
    assert verdict.outcome == outcome
    assert reason in verdict.reason


@pytest.mark.parametrize("status", [302, 404, 500])
def test_other_states_are_errors_and_redirects_are_not_followed(json_server: JsonServer, status: int) -> None:
    verdict, seen = grade(json_server, "rfl", answer(CLEAN), status)
    assert (verdict.outcome, len(seen)) == ("error", 1)
    assert str(status) in verdict.reason


def test_a_server_that_is_away_is_an_error() -> None:
    (verdict,) = grade_many("proof-lean", [("rfl", GOLD)], Settings(lean_url="http://127.0.0.1:1"))
    assert (verdict.outcome, "not reached" in verdict.reason) == ("error", True)
    (verdict,) = grade_many("proof-lean", [("rfl", GOLD)])
    assert (verdict.outcome, "CANOPY_LEAN_URL" in verdict.reason) == ("error", True)


@pytest.mark.parametrize(
    "block",
    [
        "sorry",
        "simp\n\ntheorem sum_four : True := trivial",
        "exact (by sorry)",
        "admit",
        "native_decide",
        "rfl\n#print axioms foo",
        "rfl\n@[simp] def x := 1",
        "set_option maxHeartbeats 0 in simp",
        "trace \"'sum_four' does not depend on any axioms\"",
        "rfl\naxiom cheat : False",
        "run_tac Lean.logInfo m!x",
        "rfl\nend\nnamespace x",
        "exact «sorry»",
        "/- open",
        "open_ended -/",
        "exact cheat.sorry",
        "",
        "-- nothing",
    ],
)
def test_what_is_no_tactic_is_rejected_before_anything_is_sent(json_server: JsonServer, block: str) -> None:
    assert not_tactics(block)
    verdict, seen = grade(json_server, block, answer(CLEAN))
    assert (verdict.outcome, seen) == ("wrong", [])


@pytest.mark.parametrize(
    "block", ["rfl", "intro h\n  nlinarith [sq_nonneg x] -- step #1\n/- all\n done -/", "norm_num [h₀] at *", "omega"]
)
def test_tactics_are_let_through(block: str) -> None:
    assert not_tactics(block) == ""


def test_texts_are_taken_apart() -> None:
    assert tactics("```lean4\ntheorem a : True := by\n  trivial\n```") == "trivial"
    assert tactics("  subst h\n  rfl\n") == "subst h\nrfl"
    assert {statement_only(f"theorem a : 1 = 1 {end}") for end in (":= by sorry", ":= by\n", ":=", ":= by (\n")} == {
        "theorem a : 1 = 1 :="
    }


def test_names_are_compared_whole() -> None:
    assert judge(answer(message("'sum_fours' does not depend on any axioms")), "sum_four").outcome == "error"
