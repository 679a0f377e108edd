"""Did the model get it right? Verifiers, and a grader that survives hostile answers."""

from engine.verification.grader import Grader, grade_many
from engine.verification.registry import VERIFIERS, get_verifier
from engine.verification.types import Outcome, Verdict, Verifier

__all__ = ["VERIFIERS", "Grader", "Outcome", "Verdict", "Verifier", "get_verifier", "grade_many"]
