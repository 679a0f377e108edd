"""Programs that read standard input and write standard output, as in CodeContests.

Each test runs in a sandbox of its own: a program can neither remember an earlier test nor see an expected output,
which never enters the sandbox. The first failing test decides, because most programs fail early.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from engine.sandbox.process import python
from engine.sandbox.types import MIB, Result, Task
from engine.verification.extraction import python_program
from engine.verification.types import Bench, Gold, Verdict, needed

# exit() and quit() come from the site module, which is left out with its packages.
START = """
import _sitebuiltins, builtins, os
builtins.exit, builtins.quit = _sitebuiltins.Quitter("exit", ""), _sitebuiltins.Quitter("quit", "")
"""
# Arithmetic on numbers of any length is what contests are about.
_RUN = python(
    "-X",
    "int_max_str_digits=0",
    "-c",
    f"{START}exec(compile(os.read(3, os.fstat(3).st_size), 'program.py', 'exec'))",
)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d{1,4})?", re.ASCII)
_LONGEST_NUMBER = 400
# The tolerance of AlphaCode's judge (github.com/google-deepmind/code_contests).
_TOLERANCE = Decimal("1e-5")


class StdioVerifier:
    name = "code-stdio"
    title = "Python program, stdin/stdout tests"
    help = "Runs the program on each of the problem's tests in a sandbox and compares what it prints (CodeContests)."
    requires = ("tests",)
    isolated = False

    def essence(self, text: str) -> str:
        return python_program(text)

    def grade(self, text: str, gold: Gold, bench: Bench) -> Verdict:
        program = python_program(text).encode("utf-8", "replace")
        tests = needed(gold, "tests")
        level = bench.level.label
        if not program.strip():
            return Verdict("wrong", reason="There is no program in the text.", level=level)
        longest = max(len(test["output"]) for test in tests)
        limits = bench.limits(
            seconds=gold.checks.get("seconds") or bench.settings.seconds,
            output=max(MIB, 8 * longest),  # bytes, for characters of up to four and some white space
        )
        for number, test in enumerate(tests, start=1):
            result = bench.run(Task(_RUN, stdin=test["input"].encode(), payload=program, limits=limits))
            passed = f"passed {number - 1} of {len(tests)} tests"
            if result.ending == "timeout":
                reason = f"Test {number} was not done after {limits.seconds:g} s."
                return Verdict("timeout", passed, reason=reason, level=level)
            printed = result.stdout.decode("utf-8", "replace")
            if not result.ok:
                return Verdict("wrong", passed, reason=f"Test {number}: {describe_end(result)}", level=level)
            if not same_output(printed, test["output"]):
                reason = f"Test {number}: expected {_short(test['output'])}, printed {_short(printed)}."
                return Verdict("wrong", passed, reason=reason, level=level)
        return Verdict("correct", f"passed {len(tests)} of {len(tests)} tests", level=level)


def same_output(printed: str, expected: str) -> bool:
    """CodeContests' comparison: words split at white space, case ignored, numbers within 1e-5.

    Computed in decimals, so that whole numbers beyond 2^53 are compared exactly, where the original's doubles are not.
    """
    mine, theirs = printed.lower().split(), expected.lower().split()
    return len(mine) == len(theirs) and all(map(_same_word, mine, theirs))


def describe_end(result: Result) -> str:
    """Why a program that did not end well ended: its exception, its signal, its limit."""
    if result.ending == "output":
        return "it wrote more than it may."
    if result.ending == "memory":
        return "it used more memory than it may."
    last = result.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
    if result.code < 0:
        return f"it was ended by signal {-result.code}."
    return f"exit status {result.code}" + (f": {last}" if last else ".")


def _same_word(a: str, b: str) -> bool:
    if a == b:
        return True
    if max(len(a), len(b)) > _LONGEST_NUMBER or not (_NUMBER.fullmatch(a) and _NUMBER.fullmatch(b)):
        return False
    try:
        return abs(Decimal(a) - Decimal(b)) <= _TOLERANCE
    except InvalidOperation:
        return False


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return repr(flat if len(flat) <= 40 else f"{flat[:39]}…")
