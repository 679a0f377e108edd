"""Did the model get it right? Verifiers, and a pool that survives hostile answers.

Adding a verifier: a module with a class like ``Gsm8kVerifier``, and one line in VERIFIERS.
"""

from __future__ import annotations

from engine.verification.gsm8k import Gsm8kVerifier
from engine.verification.mathverify import MathVerifier
from engine.verification.types import Outcome, Verdict, Verifier

VERIFIERS: dict[str, Verifier] = {verifier.name: verifier for verifier in (Gsm8kVerifier(), MathVerifier())}


def get_verifier(name: str) -> Verifier:
    """The verifier called ``name``; KeyError lists the names there are."""
    if name not in VERIFIERS:
        raise KeyError(f"no verifier is called {name!r}; there are: {', '.join(VERIFIERS)}")
    return VERIFIERS[name]


from engine.verification.pool import GraderPool, grade_many  # noqa: E402  (the pool looks verifiers up here)

__all__ = ["VERIFIERS", "GraderPool", "Outcome", "Verdict", "Verifier", "get_verifier", "grade_many"]
