"""math-verify: symbolic comparison of mathematical answers (github.com/huggingface/Math-Verify).

It parses LaTeX and plain expressions to sympy and compares those, which can run for ever or take all memory
(``9^9^9^9``); so it is marked isolated and the pool runs it in a killable process. Its own SIGALRM timeouts work only
in a main thread and are switched off.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from engine.verification.gsm8k import canonical_number
from engine.verification.types import Bench, Gold, Verdict

# Final answers stand at the end; a longer text is cut to its tail, which also bounds the regular expressions' time.
_TAIL = 4_000
# An answer beyond this is no answer; sympy's time grows quickly with length.
_LONGEST = 400
# What follows must look like an answer: "#### Step 1" is a heading.
_MARKED = re.compile(r"(?<!#)####[ \t]*((?:[-+$\\(\[{.\d]|[a-zA-Z](?![a-zA-Z])).*)")
_BOLD_NUMBER = re.compile(r"\*\*\s*(\$?-?[\d.,]+)\s*\*\*")
_PLAIN_NUMBER = re.compile(r"-?\$?\d[\d,]*(?:\.\d+)?\.?")
# Numbers, operators and one-letter names, with or without an equals sign, as in 3*x - y + 13 = 0.
_SIDE = r"(?:[-+*/^().\d\s]|(?<![a-zA-Z])[a-zA-Z](?![a-zA-Z]))+"
_BARE = re.compile(f"{_SIDE}(={_SIDE})?")
# math-verify rounds to six decimals, so numbers below this need a look of their own.
_TINY = 1e-4


class MathVerifier:
    name = "math-verify"
    title = "math-verify (symbolic)"
    help = "Finds the final answer (boxed, after ####, or the last one) and compares it as mathematics: 1/2 equals 0.5."
    requires = ("answer",)
    isolated = True

    def essence(self, text: str) -> None:
        return None  # most answers are plain numbers, whose comparison takes microseconds

    def grade(self, text: str, gold: Gold, bench: Bench) -> Verdict:
        candidate, wanted = _candidate(text), gold.answer
        if _PLAIN_NUMBER.fullmatch(wanted.strip()) and _PLAIN_NUMBER.fullmatch(candidate):
            return _compare_numbers(candidate, wanted)
        return _compare_symbolically(candidate, wanted)


def _candidate(text: str) -> str:
    """The part of ``text`` that states the final answer.

    What follows the first ``####`` when the text has that marker, else the text's tail, where math-verify looks for
    boxed and last expressions. ``**73**`` is unwrapped: math-verify reads the stars as operators (its issue 76). A bare
    formula is put between dollar signs: math-verify would take the 0 of ``x - 1 = 0`` for the answer (issue 60).
    """
    if marked := _MARKED.search(text):
        text = marked.group(1)
    boxed = text.rfind("\\boxed")
    if 0 <= boxed < len(text) - _TAIL:  # a model that went on after its answer, until it was cut off
        text = text[boxed : boxed + _TAIL]
    text = _BOLD_NUMBER.sub(r"\1", text[-_TAIL:]).strip()
    return f"${text}$" if len(text) <= _LONGEST and _BARE.fullmatch(text) else text


def _compare_numbers(candidate: str, gold: str) -> Verdict:
    """Two plain numbers need no sympy; most answers end here."""
    answer, wanted = canonical_number(candidate), canonical_number(gold)
    if answer == wanted:
        return Verdict("correct", candidate, answer)
    return Verdict("wrong", candidate, answer, f"Expected {wanted}.")


def _compare_symbolically(candidate: str, gold: str) -> Verdict:
    parsed, shown = _parse(candidate)
    if not parsed:
        return Verdict("wrong", reason="No answer found in the text.")
    if len(shown) > _LONGEST:
        return Verdict("wrong", shown, reason=f"The answer is longer than {_LONGEST} characters.")
    plain = gold.replace("\\$", "")  # dollars of money would end the mathematics
    wanted, _ = _parse(plain if "$" in plain or "\\boxed" in plain else f"${plain}$")
    if not wanted:
        return Verdict("error", shown, reason="The gold answer cannot be parsed.")
    import math_verify

    # The gold answer comes first: verify() is not symmetric.
    same = math_verify.verify(wanted, parsed, timeout_seconds=None) and not _tiny_and_different(wanted[0], parsed[0])
    canonical = _canonical(parsed[0])
    return Verdict("correct", shown, canonical) if same else Verdict("wrong", shown, canonical, f"Expected {gold}.")


def _parse(text: str) -> tuple[list[Any], str]:
    """math-verify's parse: ([expression, matched text], the text that was matched)."""
    import math_verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its timeouts are off; they are, by intent
    parsed = math_verify.parse(text, parsing_timeout=None)
    return parsed, next((part for part in reversed(parsed) if isinstance(part, str)), str(parsed[0]) if parsed else "")


def _tiny_and_different(a: Any, b: Any) -> bool:
    """True for 1/2004! and 1/2006!, which are both 0 to six decimals (math-verify's issue 14)."""
    if not (getattr(a, "is_number", False) and getattr(b, "is_number", False)):
        return False
    sizes = [abs(a.evalf()), abs(b.evalf()), abs((a - b).evalf())]
    if not all(size.is_comparable for size in sizes):  # 50% is the number 50 times the unevaluated 1/100
        return False
    largest = max(sizes[:2])
    return bool(largest < _TINY and sizes[2] > _TINY * largest)


def _canonical(expression: Any) -> str:
    """One spelling for equal numbers, whether 3/4, 0.75 or 75%; otherwise sympy's own spelling, which orders terms."""
    if not getattr(expression, "is_number", False):
        return str(expression)
    exact = expression.doit()  # 75% is 75 times an unevaluated 1/100
    if exact.is_Integer:
        return str(exact)
    number = exact.evalf(15)
    # Twelve digits: finer than what math-verify tells apart, coarser than the last bits of an evaluation.
    return canonical_number(f"{float(number):.12g}") if number.is_Float and number.is_finite else str(expression)
