"""What the sample browser shows, as written in its address."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from django.http import QueryDict
from django.utils.http import urlencode

from jobs.kinds.sampling.models import Verdict

LONGEST_SEARCH = 200
ORDERS = {"index": "By number", "rare": "Rarely solved first", "often": "Often solved first"}


@dataclass(frozen=True, slots=True)
class Filters:
    """Numbers are None when absent or nonsense: an old or hand-written address shows something, never an error."""

    problem: int | None = None  # index of the problem
    verdict: str = ""
    q: str = ""  # part of the answer's text
    order: str = "index"  # of the list of problems
    page: int = 1  # of the list of problems
    after: int = 0  # where the list of samples goes on: a sample's id, or its index when a problem is chosen
    at: str = ""  # "<problem>.<sample>": the sample shown in full

    @classmethod
    def read(cls, query: QueryDict) -> Filters:
        verdict = query.get("verdict", "")
        order = query.get("order", "index")
        return cls(
            problem=_whole(query.get("problem", "")),
            verdict=verdict if verdict in Verdict.values else "",
            q=query.get("q", "").replace("\0", "").strip()[:LONGEST_SEARCH],
            order=order if order in ORDERS else "index",
            page=max(1, _whole(query.get("page", "")) or 1),
            after=_whole(query.get("after", "")) or 0,
            at=query.get("at", ""),
        )

    @property
    def lists_samples(self) -> bool:
        """True when the list at the left holds matching samples, False when it holds problems."""
        return bool(self.verdict or self.q)

    @property
    def place(self) -> tuple[int, int] | None:
        """(problem index, sample index) of the sample asked for."""
        problem, _, sample = self.at.partition(".")
        indices = _whole(problem), _whole(sample)
        return None if indices[0] is None or indices[1] is None else (indices[0], indices[1])

    def query(self, **changes: Any) -> str:
        """The address's query with some values changed; defaults are left out."""
        values = asdict(replace(self, **changes))
        kept = {name: value for name, value in values.items() if value != getattr(_DEFAULT, name)}
        return f"?{urlencode(kept)}"


_DEFAULT = Filters()


def _whole(raw: str) -> int | None:
    """A whole number that fits the database's integers, else None."""
    return int(raw) if raw.isascii() and raw.isdigit() and len(raw) <= 18 else None
