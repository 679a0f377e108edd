"""Table 1 of Brown et al. 2024 (arXiv 2407.21787v3): five tries of a cheap model beat one of a dear model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attempts:
    """A model that tries each of ``problems`` problems ``attempts`` times and solves the share ``solved`` of them."""

    model: str
    dollars_per_attempt: float
    attempts: int
    solved: float
    problems: int

    @property
    def dollars(self) -> float:
        return self.dollars_per_attempt * self.attempts * self.problems

    @property
    def dollars_per_solved(self) -> float:
        return self.dollars / (self.solved * self.problems)


# SWE-bench Lite, all three inside Moatless Tools. The paper's Figure 2 says 24.67% for GPT-4o, this table 24.00%.
TABLE_1 = (
    Attempts("DeepSeek-Coder-V2-Instruct", 0.0072, 5, 0.2962, 300),
    Attempts("GPT-4o", 0.13, 1, 0.24, 300),
    Attempts("Claude 3.5 Sonnet", 0.17, 1, 0.267, 300),
)


def relative_dollars(rows: Sequence[Attempts]) -> list[float]:
    """Each row's dollars over the cheapest row's."""
    least = min(row.dollars for row in rows)
    return [row.dollars / least for row in rows]
