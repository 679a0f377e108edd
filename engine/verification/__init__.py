"""Did the model get it right? Verifiers, and a grader that survives hostile answers."""

from engine.verification.grader import Grader, grade_many
from engine.verification.registry import NEED_TARGET, VERIFIERS, compares_answers, fits, get_verifier
from engine.verification.settings import Settings
from engine.verification.types import Bench, Gold, Outcome, Unfit, Verdict, Verifier

__all__ = [
    "NEED_TARGET",
    "VERIFIERS",
    "Bench",
    "Gold",
    "Grader",
    "Outcome",
    "Settings",
    "Unfit",
    "Verdict",
    "Verifier",
    "compares_answers",
    "fits",
    "get_verifier",
    "grade_many",
]
