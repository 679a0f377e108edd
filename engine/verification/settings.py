"""How a worker verifies: the experiment's own limits, and what the operator of the worker allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from engine.sandbox.types import Level


@dataclass(frozen=True, slots=True)
class Settings:
    """JSON-able, because it travels to the runner inside a job. docs/operations.md describes the operator's part."""

    # --- the experiment's
    seconds: float = 10.0  # for one test, one proof, one call
    memory_mb: int = 1024
    repeats: int = 1  # runs of a patch's test suite that vote
    target: str = ""  # which function, or which address, for the verifiers of your own
    # --- the operator's
    minimum: str = "confined"  # label of the lowest sandbox level at which anything is run
    functions: str = ""  # folder of Python files whose functions may verify
    endpoints: tuple[str, ...] = ()  # beginnings of addresses that may verify
    lean_url: str = ""  # a server that speaks the Kimina protocol
    lean_key: str = ""
    repositories: str = ""  # folder of git repositories for patches
    harness: str = ""  # command line of an SWE-bench harness

    @property
    def minimum_level(self) -> Level:
        return Level[self.minimum.upper()]

    def as_job(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_job(cls, values: Mapping[str, Any]) -> Self:
        """What ``as_job`` gave, after a trip through JSON. Unknown names raise TypeError."""
        known = {field.name for field in fields(cls)}
        if unknown := set(values) - known:
            raise TypeError(f"unknown verifier settings: {', '.join(sorted(unknown))}")
        return cls(**{**values, "endpoints": tuple(values.get("endpoints", ()))})
