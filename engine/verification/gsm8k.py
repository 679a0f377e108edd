"""Paper mode for GSM8K: the first number after ``####``, compared exactly.

The grading of Brown et al. 2024 (arXiv 2407.21787, appendix A): a regular expression takes what follows ``####`` and
the answer counts when it equals the gold answer as a string or by minerva's ``is_equiv``, which for numbers is equality
after dropping ``$`` and thousands separators. Nothing is evaluated, so hostile text can do no harm.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from engine.verification.types import Bench, Gold, Unfit, Verdict

# The released code's expression. It takes the FIRST match: base models write on after their answer.
_ANSWER = re.compile(r"#### (\-?[\$0-9\.\,]+)")
# Digits beyond this are compared as text: a decimal of a million digits would be slow to normalise.
_MAX_DIGITS = 100


class Gsm8kVerifier:
    name = "gsm8k"
    title = "GSM8K exact match (paper mode)"
    help = 'Takes the first number after "####" and compares it with the gold answer. Fast; for whole-number answers.'
    requires = ("answer",)
    isolated = False

    def essence(self, text: str) -> None:
        return None  # comparing is quicker than remembering

    def grade(self, text: str, gold: Gold, bench: Bench) -> Verdict:
        if not gold.answer.strip():
            raise Unfit('The problem has no "answer" to compare with.')
        found = _ANSWER.search(text)
        if found is None:
            return Verdict("wrong", reason='No answer of the form "#### 42".')
        answer = found.group(1)
        canonical, wanted = canonical_number(answer), canonical_number(gold.answer)
        if answer == gold.answer.strip() or canonical == wanted:
            return Verdict("correct", answer, canonical)
        return Verdict("wrong", answer, canonical, f"Expected {wanted}.")


def canonical_number(text: str) -> str:
    """``$1,234.50.`` -> ``1234.5``; text that is no number comes back trimmed.

    >>> canonical_number("-$1,000."), canonical_number("7.0"), canonical_number("x")
    ('-1000', '7', 'x')
    """
    plain = text.strip().replace("$", "").replace(",", "").rstrip(".")
    if not plain.isascii() or len(plain) > _MAX_DIGITS or not re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)", plain):
        return plain
    try:
        number = Decimal(plain)
    except InvalidOperation:
        return plain
    whole = number == number.to_integral_value()
    return str(int(number)) if whole else format(number, "f").rstrip("0")
