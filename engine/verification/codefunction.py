"""Functions checked by the problem's own test code, as in HumanEval and MBPP.

The model's code and the tests run in two sandboxes that share two pipes; engine.verification.inside.calls says why.
"""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

from engine.sandbox.process import python, start, wait
from engine.sandbox.types import Task
from engine.verification.codestdio import START, describe_end
from engine.verification.extraction import python_program
from engine.verification.inside import calls
from engine.verification.types import Bench, Gold, Unfit, Verdict

_DEFINITION = re.compile(r"^(?:async\s+)?def\s+(\w+)", re.MULTILINE)


class FunctionVerifier:
    name = "code-function"
    title = "Python function, test code"
    help = "Calls the function from the problem's tests; program and tests run in sandboxes (HumanEval, MBPP)."
    requires = ("entry_point", "asserts")
    isolated = False

    def essence(self, text: str) -> str:
        return python_program(text)

    def grade(self, text: str, gold: Gold, bench: Bench) -> Verdict:
        program = assemble(python_program(text), gold.checks)
        level = bench.level
        limits = bench.limits()
        model = Task(_side("solution"), payload=program.encode("utf-8", "replace"), limits=limits)
        tests = Task(_side("tests"), payload=json.dumps(dict(gold.checks)).encode(), limits=limits)
        calls_out, calls_in = os.pipe()
        replies_out, replies_in = os.pipe()
        try:
            solution = start(model, level, stdin=calls_out, stdout=replies_in)
            try:
                judge = start(tests, level, stdin=replies_out, stdout=calls_in)
            except BaseException:
                solution.kill()
                raise
        finally:
            for descriptor in (calls_out, calls_in, replies_out, replies_in):
                os.close(descriptor)
        judged, ran = wait([judge, solution], bench.alive)
        if "timeout" in {judged.ending, ran.ending}:
            seconds = bench.settings.seconds
            return Verdict("timeout", reason=f"The tests were not done after {seconds:g} s.", level=level.label)
        if ran.ending in {"output", "memory"}:
            return Verdict("wrong", reason=f"The program was stopped: {describe_end(ran)}", level=level.label)
        try:
            verdict = json.loads(judged.stderr)
        except ValueError:
            return Verdict("error", reason=f"The tests gave no verdict: {describe_end(judged)}", level=level.label)
        outcome = {"passed": "correct", "failed": "wrong"}.get(verdict["is"], "error")
        return Verdict(outcome, reason=verdict["why"], level=level.label)  # type: ignore[arg-type]


def assemble(code: str, checks: Any) -> str:
    """The whole program. HumanEval's prompt ends in the middle of a function: a completion goes on there, and code that
    brings the function itself (a chat model's answer) follows the part of the prompt above it. Raises Unfit."""
    if "asserts" in checks:
        return code
    if "entry_point" not in checks:
        raise Unfit('The problem has neither "entry_point" and "test" nor "test_list"; see docs/problem-format.md.')
    prompt, name = checks["prompt"], checks["entry_point"]
    if name not in _DEFINITION.findall(code):
        return f"{prompt.rstrip()}\n{code}" if prompt.strip() else code
    above = next((match.start() for match in _DEFINITION.finditer(prompt) if match.group(1) == name), len(prompt))
    return f"{prompt[:above]}\n{code}"


@cache
def _side(name: str) -> tuple[str, ...]:
    """The command line of one side: the module's source, which cannot be imported in there, and a call."""
    return python("-c", f"{Path(calls.__file__).read_text(encoding='utf-8')}\n{START}\n{name}()\n")
