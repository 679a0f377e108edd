from __future__ import annotations

import difflib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.verification import Gold, Settings, Verdict, grade_many
from engine.verification.inside.suite import results
from engine.verification.patch import diff, vote

CODE = "def add(a, b):\n    return a - b\n\n\ndef keep(a):\n    return a\n"
TESTS = (
    "import unittest\nfrom calc import keep\n\n\nclass Old(unittest.TestCase):\n"
    "    def test_keep(self):\n        self.assertEqual(keep(3), 3)\n"
)
NEW_TESTS = TESTS.replace("import keep", "import add, keep") + (
    "\n\nclass New(unittest.TestCase):\n    def test_add(self):\n        self.assertEqual(add(2, 3), 5)\n"
)
FIXED = CODE.replace("a - b", "a + b")


def patch_of(name: str, before: str, after: str) -> str:
    lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), f"a/{name}", f"b/{name}")
    return f"diff --git a/{name} b/{name}\n{''.join(lines)}"


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """(folder of repositories, the commit to start from)"""
    folder = tmp_path_factory.mktemp("repositories")
    project = folder / "owner__calc"
    (project / "tests").mkdir(parents=True)
    (project / "calc.py").write_text(CODE)
    (project / "tests" / "__init__.py").touch()
    (project / "tests" / "test_calc.py").write_text(TESTS)
    who = {"GIT_AUTHOR_NAME": "x", "GIT_AUTHOR_EMAIL": "x@x", "GIT_COMMITTER_NAME": "x", "GIT_COMMITTER_EMAIL": "x@x"}

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=project, env=os.environ | who, check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "start")
    commit = git("rev-parse", "HEAD")
    (project / "calc.py").write_text("# later history must not help\n" + FIXED)
    git("commit", "-q", "-a", "-m", "later")
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder, commit


@pytest.fixture
def gold(repositories: tuple[Path, str]) -> Gold:
    return Gold(
        checks={
            "repo": "owner/calc",
            "base_commit": repositories[1],
            "test_patch": patch_of("tests/test_calc.py", TESTS, NEW_TESTS),
            "fail_to_pass": ["tests.test_calc.New.test_add"],
            "pass_to_pass": ["tests.test_calc.Old.test_keep"],
        }
    )


def grade(text: str, gold: Gold, repositories: tuple[Path, str], **settings: Any) -> Verdict:
    (verdict,) = grade_many("patch", [(text, gold)], Settings(repositories=str(repositories[0]), **settings))
    return verdict


GOOD = patch_of("calc.py", CODE, FIXED)


@pytest.mark.usefixtures("isolated")
@pytest.mark.parametrize(
    ("text", "outcome", "reason"),
    [
        (GOOD, "correct", ""),
        (f"The sign is wrong.\n```diff\n{GOOD}```\n", "correct", ""),
        (GOOD.rstrip("\n"), "correct", ""),
        (patch_of("calc.py", CODE, CODE.replace("a - b", "a * b")), "wrong", "Failed: tests.test_calc.New.test_add"),
        (patch_of("calc.py", CODE, FIXED.replace("return a\n", "return 0\n")), "wrong", "Old.test_keep"),
        (patch_of("calc.py", FIXED, CODE), "wrong", "does not apply"),
        (patch_of("../../etc/x", "", "x\n"), "wrong", "does not apply"),
        (patch_of(".git/config", "", "x\n"), "wrong", "does not apply"),
        (patch_of("calc.py", CODE, "import os\nos._exit(0)\n"), "wrong", "Failed"),
        (patch_of("tests/test_calc.py", TESTS, "import unittest\n"), "wrong", "test_add"),
        ("I would change the sign.", "wrong", "no diff"),
    ],
)
def test_patches(text: str, outcome: str, reason: str, gold: Gold, repositories: tuple[Path, str]) -> None:
    verdict = grade(text, gold, repositories)
    assert verdict.outcome == outcome, verdict
    assert reason in verdict.reason


@pytest.mark.usefixtures("isolated")
def test_a_problem_that_cannot_be_set_up_is_an_error(gold: Gold, repositories: tuple[Path, str]) -> None:
    for changes, reason in [
        ({"base_commit": "0" * 40}, "git checkout"),
        ({"test_patch": "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"}, "tests' patch"),
        ({"repo": "owner/other"}, "no git repository"),
    ]:
        verdict = grade(GOOD, Gold(checks={**gold.checks, **changes}), repositories)
        assert (verdict.outcome, reason in verdict.reason) == ("error", True), verdict


@pytest.mark.usefixtures("isolated")
def test_flaky_suites_are_run_again_and_vote(gold: Gold, repositories: tuple[Path, str]) -> None:
    coin = FIXED.replace("return a + b", "import os\n    return a + b - (os.urandom(1)[0] < 128)")
    verdict = grade(patch_of("calc.py", CODE, coin), gold, repositories, repeats=9)
    assert verdict.outcome in {"correct", "wrong"}
    assert verdict.reason.startswith("Flaky: ") or verdict.reason in {"", "Failed: tests.test_calc.New.test_add."}


def test_votes() -> None:
    right, wrong = Verdict("correct", "all"), Verdict("wrong", reason="Failed: a.")
    assert vote([right] * 3) == right
    assert vote([wrong]) == wrong
    assert vote([right, wrong, right]).outcome == "correct"
    assert "1 of 2 runs" in vote([right, wrong]).reason
    assert vote([right, wrong]).outcome == "wrong"


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("PASSED tests/t.py::test_a\nFAILED tests/t.py::test_b - assert 1\n", {"tests/t.py::test_a": "passed"}),
        (
            "test_a (t.C.test_a) ... ok\ntest_b (t.C.test_b) ... FAIL\n",
            {"t.C.test_a": "passed", "t.C.test_b": "failed"},
        ),
        ("test_a (t.C) ... ok\n", {"t.C.test_a": "passed", "test_a (t.C)": "passed"}),
        ("test_a (t.C.test_a)\nSays what it does. ... ok\n", {"t.C.test_a": "passed"}),
        ("PASSED t.py::a\nFAILED t.py::a\n", {"t.py::a": "failed"}),
        ("FAILED t.py::a\nPASSED t.py::a\n", {"t.py::a": "failed"}),
        ("test_a (t.C.test_a) ... skipped 'no'\n", {"t.C.test_a": "failed"}),
        ("x PASSED t.py::a\n", {}),
    ],
)
def test_reports_are_read(output: str, expected: dict[str, str]) -> None:
    found = results(output)
    assert {name: found.get(name) for name in expected} == expected
    assert expected or not found


def test_diffs_are_found() -> None:
    assert diff(f"Here:\n{GOOD}") == GOOD
    assert diff("nothing") == ""


HARNESS = """
import json, sys
from pathlib import Path
predictions, folder, outcome = sys.argv[1:4]
record = json.loads(Path(predictions).read_text())
assert record["model_patch"].startswith("diff --git")
if outcome != "nothing":
    lists = {name: [] for name in ("resolved_ids", "unresolved_ids", "error_ids")}
    lists[outcome].append(record["instance_id"])
    (Path(folder) / "canopy.run.json").write_text(json.dumps(lists))
print("harness was here")
"""


@pytest.mark.parametrize(
    ("wanted", "outcome", "reason"),
    [
        ("resolved_ids", "correct", ""),
        ("unresolved_ids", "wrong", "Not resolved"),
        ("error_ids", "error", "could not run"),
        ("nothing", "error", "harness was here"),
    ],
)
def test_the_harness_adapter(tmp_path: Path, wanted: str, outcome: str, reason: str) -> None:
    script = tmp_path / "harness.py"
    script.write_text(HARNESS)
    command = f"{sys.executable} {script} {{predictions}} {{folder}} {wanted}"
    gold = Gold(checks={"instance_id": "owner__calc-1"})
    (verdict,) = grade_many("patch-harness", [(GOOD, gold)], Settings(harness=command))
    assert verdict.outcome == outcome
    assert reason in verdict.reason
    (verdict,) = grade_many("patch-harness", [(GOOD, gold)])
    assert (verdict.outcome, "CANOPY_SWE_HARNESS" in verdict.reason) == ("error", True)
