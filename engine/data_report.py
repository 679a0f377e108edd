"""What was wrong with a set of data that somebody gave, each fault named, none fatal by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Generic, TypeVar

Kind = TypeVar("Kind", bound=str)
_EXAMPLES = 50  # kept of each kind of problem; the count goes on


@dataclass(frozen=True, slots=True)
class Problem(Generic[Kind]):
    kind: Kind
    where: str  # the file, and the object in it where there is one
    message: str


@dataclass(slots=True)
class DataReport(Generic[Kind]):
    """Problems in the order found. A kind of data names its kinds of problems, and the error of `refuse`."""

    error: ClassVar[type[Exception]] = ValueError

    problems: list[Problem[Kind]] = field(default_factory=list)  # at most 50 of each kind
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, kind: Kind, where: str, message: str) -> None:
        self.counts[kind] += 1
        if self.counts[kind] <= _EXAMPLES:
            self.problems.append(Problem(kind, where, message))

    def refuse(self, kinds: Iterable[Kind] | None = None) -> None:
        """Raise `error` if there is a problem of one of these kinds, of any by default, naming the first."""
        wanted = None if kinds is None else set(kinds)
        for problem in self.problems:
            if wanted is None or problem.kind in wanted:
                raise self.error(f"{problem.where}: {problem.message} ({self.counts[problem.kind]} of this kind)")

    def sentences(self) -> list[str]:
        """One line for each kind: how many, and the first as an example."""
        first: dict[str, Problem[Kind]] = {}
        for problem in self.problems:
            first.setdefault(problem.kind, problem)
        return [
            f"{self.counts[kind]} x {kind.replace('_', ' ')}, for example {problem.where}: {problem.message}"
            for kind, problem in first.items()
        ]
