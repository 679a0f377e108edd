"""The verifiers there are. Adding one: a module with a class like ``Gsm8kVerifier``, and a name in this tuple."""

from __future__ import annotations

from engine.verification.codefunction import FunctionVerifier
from engine.verification.codestdio import StdioVerifier
from engine.verification.custom import CustomVerifier, EndpointVerifier
from engine.verification.gsm8k import Gsm8kVerifier
from engine.verification.mathverify import MathVerifier
from engine.verification.prooflean import LeanVerifier
from engine.verification.proofrocq import RocqVerifier
from engine.verification.types import Verifier

VERIFIERS: dict[str, Verifier] = {
    verifier.name: verifier
    for verifier in (
        Gsm8kVerifier(),
        MathVerifier(),
        StdioVerifier(),
        FunctionVerifier(),
        RocqVerifier(),
        LeanVerifier(),
        CustomVerifier(),
        EndpointVerifier(),
    )
}


def get_verifier(name: str) -> Verifier:
    """The verifier called ``name``; KeyError lists the names there are."""
    if name not in VERIFIERS:
        raise KeyError(f"no verifier is called {name!r}; there are: {', '.join(VERIFIERS)}")
    return VERIFIERS[name]
