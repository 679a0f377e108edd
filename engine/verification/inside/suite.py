"""A project's test suite with a model's patch, inside the sandbox: ``run()``. Standard library only.

What prepares the checkout and reads the result is this process; the patched code runs in another, whose output goes
through a pipe that this one made. The verdict therefore cannot be written by the patch, but what a test reports can
be: a patch is part of the program that runs the tests. SWE-bench has the same limit.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

CHECKOUT = "work"
# unittest -v: "test_a (tests.test_x.Case.test_a) ... ok"; Python 3.10 left the last name out; a docstring has a line.
_UNITTEST = re.compile(
    r"^(\w+) \(([\w.]+)\)(?:\n.*)? \.\.\. (ok|FAIL|ERROR|skipped .*|expected failure)$", re.MULTILINE
)
_PYTEST = re.compile(r"^(PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS) (\S+)", re.MULTILINE)


def run() -> None:
    """Read the job (descriptor 3); write {"is": "done", "passed": [...], "failed": [...]} or what went wrong."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    job = json.loads(os.read(3, os.fstat(3).st_size))
    json.dump(_do(job), answers)
    answers.flush()
    os._exit(0)


def _do(job: dict[str, Any]) -> dict[str, Any]:
    problem = _prepare(job)
    if problem:
        return problem
    arguments = [argument for part in shlex.split(job["command"]) for argument in _filled(part, job)]
    done = subprocess.run(
        arguments, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    output = done.stdout.decode("utf-8", "replace")
    states = results(output)
    passed = [test for test in job["tests"] if states.get(test) == "passed"]
    failed = [test for test in job["tests"] if test not in passed]
    return {"is": "done", "passed": passed, "failed": failed, "code": done.returncode, "tail": output[-1_000:]}


def _prepare(job: dict[str, Any]) -> dict[str, Any] | None:
    """The checkout with both patches, or what went wrong: ``broken`` is the problem's fault, ``unfit`` the model's."""
    for arguments, folder in (
        (["clone", "--quiet", "--no-checkout", "--shared", job["repository"], CHECKOUT], "."),
        (["checkout", "--quiet", "--detach", job["commit"]], CHECKOUT),
    ):
        if error := _git(arguments, folder):
            return {"is": "broken", "why": f"git {arguments[0]}: {error}"}
    if error := _apply(job["patch"]):
        return {"is": "unfit", "why": f"The patch does not apply: {error}"}
    # The tests come last, and as they were written: what the model changed in their files is undone first.
    touched = re.findall(r"^(?:\+\+\+ b|--- a)/(\S+)", job["test_patch"], re.MULTILINE)
    for name in dict.fromkeys(touched):
        if _git(["checkout", "--quiet", job["commit"], "--", name], CHECKOUT):
            (Path(CHECKOUT) / name).unlink(missing_ok=True)
    if job["test_patch"] and (error := _apply(job["test_patch"])):
        return {"is": "broken", "why": f"The tests' patch does not apply: {error}"}
    return None


def _apply(patch: str) -> str:
    return _git(["apply", "--whitespace=nowarn", "-"], CHECKOUT, patch if patch.endswith("\n") else f"{patch}\n")


def _git(arguments: list[str], folder: str, text: str | None = None) -> str:
    """git's complaint; empty when it succeeded."""
    done = subprocess.run(
        ["git", *arguments], cwd=folder, input=(text or "").encode(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    return "" if done.returncode == 0 else done.stderr.decode("utf-8", "replace").strip()[-300:] or "failed"


def _filled(part: str, job: dict[str, Any]) -> list[str]:
    if part == "{tests}":
        return list(job["tests"])
    return [part.replace("{python}", job["python"])]


def results(output: str) -> dict[str, str]:
    """Name of a test -> "passed" or "failed", from what ``pytest -rA`` or ``unittest -v`` wrote. The worst counts."""
    states: dict[str, str] = {}
    found = [(name, word in {"PASSED", "XFAIL"}) for word, name in _PYTEST.findall(output)]
    for name, place, word in _UNITTEST.findall(output):
        dotted = place if place.endswith(f".{name}") else f"{place}.{name}"
        good = word in {"ok", "expected failure"}
        found += [(dotted, good), (f"{name} ({place})", good)]
    for name, good in found:
        states[name] = "passed" if good and states.get(name) != "failed" else "failed"
    return states
