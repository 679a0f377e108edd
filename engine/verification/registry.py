"""The verifiers there are. Adding one: a module with a class like ``Gsm8kVerifier``, and a name in this tuple."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.verification.codefunction import FunctionVerifier
from engine.verification.codestdio import StdioVerifier
from engine.verification.custom import CustomVerifier, EndpointVerifier
from engine.verification.gsm8k import Gsm8kVerifier
from engine.verification.mathminerva import MinervaVerifier
from engine.verification.mathverify import MathVerifier
from engine.verification.patch import HarnessVerifier, PatchVerifier
from engine.verification.prooflean import LeanVerifier
from engine.verification.proofrocq import RocqVerifier
from engine.verification.types import Verifier

VERIFIERS: dict[str, Verifier] = {
    verifier.name: verifier
    for verifier in (
        Gsm8kVerifier(),
        MathVerifier(),
        MinervaVerifier(),
        StdioVerifier(),
        FunctionVerifier(),
        RocqVerifier(),
        LeanVerifier(),
        PatchVerifier(),
        HarnessVerifier(),
        CustomVerifier(),
        EndpointVerifier(),
    )
}

# These ask something that the experiment names.
NEED_TARGET = frozenset({CustomVerifier.name, EndpointVerifier.name})


def get_verifier(name: str) -> Verifier:
    """The verifier called ``name``; KeyError lists the names there are."""
    if name not in VERIFIERS:
        raise KeyError(f"no verifier is called {name!r}; there are: {', '.join(VERIFIERS)}")
    return VERIFIERS[name]


def fits(name: str, answer: str, checks: Mapping[str, Any]) -> bool:
    """Whether a problem has what the verifier called ``name`` needs."""
    requires = get_verifier(name).requires
    return not requires or any(answer if key == "answer" else key in checks for key in requires)


def compares_answers(name: str) -> bool:
    """Whether the verifier called ``name`` extracts an answer, rather than running what the problem brings.

    >>> compares_answers("gsm8k"), compares_answers("proof-rocq")
    (True, False)
    """
    requires = get_verifier(name).requires
    return not requires or "answer" in requires
