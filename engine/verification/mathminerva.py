r"""Paper mode for MATH: Minerva's answer form, its normalisation, then equality as text or as mathematics.

The grading of Brown et al. 2024 (arXiv 2407.21787, appendix A) is that of Minerva (Lewkowycz et al. 2022, arXiv
2206.14858, appendix D.1): an answer must stand in "Final Answer: The final answer is X. I hope it is correct.", both
answers are normalised as listed there, and they are equal as strings, or when sympy simplifies their difference to 0.

Text is compared first: parsing fails on many answers that are identical (EleutherAI/lm-evaluation-harness#2212). The
one difference to the published code: LaTeX is read by latex2sympy2_extended, because sympy's own reader needs an antlr
runtime that excludes the one math-verify needs. What it takes for a set, a tuple or an equation counts as unequal, as
in that code, where subtracting them fails.
"""

from __future__ import annotations

import re
from typing import Any

from engine.verification.gsm8k import canonical_number
from engine.verification.types import Bench, Gold, Unfit, Verdict

# The first match counts: a base model writes on with problems of its own. "." is any character, as published.
_ANSWER = re.compile(r"Final Answer: The final answer is(.*?). I hope it is correct.")
_END = "I hope it is correct."  # put at the end, for samples that a stop string or the length cut off before it
# Beyond this no answer is meant, and sympy's time grows quickly with length.
_LONGEST = 400

# Minerva's appendix D.1, in its order: each of these is replaced, then all of the next ones are removed.
_REPLACED = (
    ("an ", ""), ("a ", ""), (".$", "$"), ("\\$", ""), ("\\ ", ""), (" ", ""), ("mbox", "text"),
    (",\\text{and}", ","), ("\\text{and}", ","), ("\\text{m}", "\\text{}"),
)  # fmt: skip
_REMOVED = (
    "square", "ways", "integers", "dollars", "mph", "inches", "ft", "hours", "km", "units", "\\ldots", "sue", "points",
    "feet", "minutes", "digits", "cents", "degrees", "cm", "gm", "pounds", "meters", "meals", "edges", "students",
    "childrentickets", "multiples", "\\text{s}", "\\text{.}", "\\text{\ns}", "\\text{}^2", "\\text{}^3", "\\text{\n}",
    "\\text{}", "\\mathrm{th}", "^\\circ", "^{\\circ}", "\\;", ",\\!", "{,}", '"', "\\dots",
)  # fmt: skip
_UNWRAPPED = (
    (re.compile(r"(.*?)\$(.*?)\$(.*)"), r"$\2$"),  # only what stands in the first dollars
    (re.compile(r"\\text\{(.*?)\}"), r"\1"),
    (re.compile(r"\\textbf\{(.*?)\}"), r"\1"),
    (re.compile(r"\\overline\{(.*?)\}"), r"\1"),
    (re.compile(r"\\boxed\{(.*)\}"), r"\1"),
    (re.compile(r"frac([^{])(.)"), r"frac{\1}{\2}"),  # \frac12 is \frac{1}{2}
    (re.compile(r"sqrt([^{])"), r"sqrt{\1}"),
)


class MinervaVerifier:
    name = "math-minerva"
    title = "MATH exact match (paper mode)"
    help = (
        'Takes X from "Final Answer: The final answer is X. I hope it is correct." and compares it with the gold '
        "answer as published for Minerva: as text after its normalisation, else as mathematics."
    )
    requires = ("answer",)
    isolated = True

    def essence(self, text: str) -> None:
        return None  # most answers are decided by their text

    def grade(self, text: str, gold: Gold, bench: Bench) -> Verdict:
        if not gold.answer.strip():
            raise Unfit('The problem has no "answer" to compare with.')
        found = _ANSWER.search(text + _END)
        if found is None:
            return Verdict("wrong", reason='No answer of the form "Final Answer: The final answer is 42."')
        answer = found.group(1).strip()
        if len(answer) > _LONGEST:
            return Verdict("wrong", answer, reason=f"The answer is longer than {_LONGEST} characters.")
        given, wanted = normalise(answer), normalise(gold.answer)
        if given == wanted or is_equivalent(given, wanted):
            return Verdict("correct", answer, given)
        return Verdict("wrong", answer, given, f"Expected {wanted}.")


def normalise(answer: str) -> str:
    r"""An answer as Minerva's appendix D.1 compares it.

    >>> normalise(r"x = \frac12"), normalise("$100,000$ dollars"), normalise(r"\text{Monday}"), normalise(r"30^\circ")
    ('\\frac{1}{2}', '100000', 'Monday', '30')
    """
    text = answer.split("=")[-1]
    for before, after in _REPLACED:
        text = text.replace(before, after)
    for word in _REMOVED:
        text = text.replace(word, "")
    for pattern, kept in _UNWRAPPED:
        text = pattern.sub(kept, text)
    text = text.replace("$", "")
    digits = text.replace(",", "")
    return digits if digits.isdigit() else text


def is_equivalent(given: str, wanted: str) -> bool:
    """Whether sympy simplifies the difference of two normalised answers to 0. False where one cannot be read."""
    if _is_number(given) and _is_number(wanted):  # most answers: no sympy
        return canonical_number(given) == canonical_number(wanted)
    import sympy

    try:
        left, right = _parsed(given), _parsed(wanted)
        return left is not None and right is not None and bool(sympy.simplify(left - right) == 0)
    except MemoryError:
        raise
    except Exception:  # the parser and sympy raise anything for text that is no mathematics
        return False


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", text, re.ASCII) is not None


def _parsed(text: str) -> Any:
    """The expression that a text means; None for sets, tuples and relations."""
    import sympy
    from latex2sympy2_extended import latex2sympy

    expression = latex2sympy(text)
    return expression if isinstance(expression, sympy.Expr) else None
