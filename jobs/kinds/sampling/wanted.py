"""The samples of a shard that are still to be drawn, on the runner's side. No Django here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.kinds.base import Context


class Wanted:
    """``indices``: what the job asks for, by problem. The context's news say which problems are solved meanwhile."""

    def __init__(self, indices: Mapping[int, Sequence[int]], context: Context) -> None:
        self._left = {problem: dict.fromkeys(each) for problem, each in indices.items()}
        self._asked = sum(map(len, self._left.values()))
        self._context = context
        self._solved: dict[int, int] = {}

    def indices(self, problem: int) -> tuple[int, ...]:
        return tuple(self._left[problem])

    @property
    def settled(self) -> int:
        """Samples of the job that came, or are not needed any more."""
        return self._asked - sum(map(len, self._left.values()))

    def came(self, problem: int, index: int) -> None:
        self._left[problem].pop(index, None)

    def solved(self) -> dict[int, int]:
        """{problem: lowest index of a correct sample}: samples above it are wanted no more. Asked at every step."""
        solved = dict(self._context.news.get("solved", ()))
        if solved != self._solved:
            self._solved = solved
            for problem, first in solved.items():
                left = self._left.get(problem, {})
                for index in [index for index in left if index > first]:
                    del left[index]
        return solved
