from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.verification import Gold, Settings, Verdict, grade_many
from engine.verification.custom import allowed, verdict_of
from tests.engine.verification.conftest import JsonServer

GOLD = Gold("42", {"unit": "m"})


def verify(name: str, settings: Settings, text: str = "42") -> Verdict:
    (verdict,) = grade_many(name, [(text, GOLD)], settings)
    return verdict


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)  # the sandbox's user reads it
    (tmp_path / "helper.py").write_text("UNIT = 'm'\n")
    (tmp_path / "mine.py").write_text(
        "import os, time\nfrom helper import UNIT\n"
        "def equal(text, problem): return text == problem['answer'] and problem['unit'] == UNIT\n"
        "def wordy(text, problem): print('noise'); return {'outcome': 'wrong', 'answer': text, 'reason': 'because'}\n"
        "def odd(text, problem): return 'yes'\n"
        "def bad(text, problem): raise ValueError('no')\n"
        "def slow(text, problem): time.sleep(60)\n"
        "def write(text, problem): open('/etc/canopy', 'w')\n"
        "def numeric(text, problem):\n    import numpy\n    return bool(numpy.float64(text) == 42)\n"
    )
    return tmp_path


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize(
    ("function", "outcome", "reason"),
    [
        ("mine:equal", "correct", ""),
        ("mine:wordy", "wrong", "because"),
        ("mine:odd", "error", "Expected true, false"),
        ("mine:bad", "error", "ValueError: no"),
        ("mine:slow", "timeout", "within 1 s"),
        ("mine:write", "error", "Error"),
        ("mine:missing", "error", "missing"),
        ("missing:equal", "error", "missing"),
        ("os.path:exists; import x", "error", "module:function"),
        ("", "error", "module:function"),
    ],
)
def test_functions(folder: Path, function: str, outcome: str, reason: str) -> None:
    verdict = verify("function", Settings(functions=str(folder), target=function, seconds=1))
    assert verdict.outcome == outcome, verdict
    assert reason in verdict.reason


@pytest.mark.usefixtures("isolated")  # a lower level may not reach the packages' folder
def test_functions_may_use_the_workers_packages(folder: Path) -> None:
    settings = Settings(functions=str(folder), target="mine:numeric", seconds=20)
    assert verify("function", settings).outcome == "correct"


def test_without_a_folder_nothing_is_called() -> None:
    verdict = verify("function", Settings(target="os:getcwd"))
    assert (verdict.outcome, "CANOPY_VERIFIER_DIR" in verdict.reason) == ("error", True)


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (True, "correct"),
        (False, "wrong"),
        ({"outcome": "correct", "answer": "42", "canonical": None}, "correct"),
        ({"outcome": "timeout"}, "timeout"),
        ({"outcome": "maybe"}, "error"),
        ("correct", "error"),
        (1, "error"),
    ],
)
def test_endpoints(json_server: JsonServer, reply: Any, outcome: str) -> None:
    seen: list[Any] = []
    json_server.reply = lambda path, body: (seen.append((path, body)), (200, json.dumps(reply).encode()))[1]  # type: ignore[func-returns-value]
    settings = Settings(endpoints=(json_server.url,), target=f"{json_server.url}/verify")
    assert verify("endpoint", settings).outcome == outcome
    ((path, body),) = seen
    assert (path, body["text"], body["problem"]) == ("/verify", "42", {"answer": "42", "unit": "m"})


def test_only_listed_endpoints_are_asked(json_server: JsonServer) -> None:
    verdict = verify("endpoint", Settings(endpoints=("http://elsewhere",), target=json_server.url))
    assert (verdict.outcome, "CANOPY_VERIFIER_URLS" in verdict.reason) == ("error", True)


@pytest.mark.parametrize(
    ("url", "beginning", "expected"),
    [
        ("http://a/x", "http://a", True),
        ("http://a/x", "http://a/", True),
        ("http://a", "http://a", True),
        ("http://a?q=1", "http://a", True),
        ("http://a.evil/x", "http://a", False),
        ("http://a@evil/x", "http://a", False),
        ("http://a:90/x", "http://a:9", False),
        ("http://a/math/../admin", "http://a/math", False),
        ("http://a/mathematics", "http://a/math", False),
        ("http://b/x", "", False),
    ],
)
def test_addresses(url: str, beginning: str, expected: bool) -> None:
    assert allowed(url, (beginning,)) is expected


def test_long_answers_are_cut() -> None:
    assert len(verdict_of({"outcome": "wrong", "reason": "x" * 1000}).reason) == 200
