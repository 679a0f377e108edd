"""What the address of a comparison asks for, and which experiments and colours that gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.http import QueryDict
from django.utils.http import urlencode

from jobs.models import Experiment
from webapp.accounts.models import Team

MOST = 20  # experiments on one page
# Colour slots of tokens.css. The eighth is grey and shared by everything after the seventh run.
SLOTS, GREY = 7, 8
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
# Parts of the view that only the page's script reads; links made here keep them.
CLIENT_KEYS = (
    "metric",
    "method",
    "angles",
    "x",
    "prompt",
    "bands",
    "fits",
    "published",
    "pick",
    "coverage",
    "selection",
    "difference",
)


@dataclass(frozen=True, slots=True)
class CompareQuery:
    """Nonsense in an address is left out instead of failing: old links show what is still there."""

    codes: tuple[UUID, ...] = ()
    pair: tuple[UUID | None, UUID | None] = (None, None)  # whose problems are compared one by one
    duel: tuple[UUID | None, UUID | None] = (None, None)  # a small model often against a big one once
    shared: bool = False  # only problems that every experiment has
    settings: str = ""  # "all": also the settings that are the same
    client: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, query: QueryDict) -> CompareQuery:
        codes = dict.fromkeys(code for raw in query.getlist("e") if (code := _uuid(raw)))
        return cls(
            codes=tuple(codes),
            pair=(_uuid(query.get("a", "")), _uuid(query.get("b", ""))),
            duel=(_uuid(query.get("small", "")), _uuid(query.get("big", ""))),
            shared=query.get("problems") == "shared",
            settings="all" if query.get("settings") == "all" else "",
            client=tuple((key, query.get(key, "")[:40]) for key in CLIENT_KEYS if key in query),
        )

    def url(self, **changes: Any) -> str:
        """The query string with some of it changed."""
        query = replace(self, **changes)
        parts: list[tuple[str, str]] = [("e", str(code)) for code in query.codes]
        named = zip(("a", "b", "small", "big"), (*query.pair, *query.duel), strict=True)
        parts += [(name, str(code)) for name, code in named if code in query.codes]
        parts += [("problems", "shared")] if query.shared else []
        parts += [("settings", query.settings)] if query.settings else []
        return "?" + urlencode([*parts, *query.client])

    @property
    def client_keys(self) -> str:
        return " ".join(CLIENT_KEYS)

    def without(self, code: UUID) -> str:
        return self.url(codes=tuple(each for each in self.codes if each != code))

    def first(self, code: UUID) -> str:
        """The address in which ``code`` is the baseline."""
        return self.url(codes=(code, *(each for each in self.codes if each != code)))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Line:
    """How a run looks in every chart of the page."""

    slot: int  # 1 to 8
    dash: str  # plotly's name


def chosen(team: Team, query: CompareQuery) -> list[Experiment]:
    """The team's experiments that the address names, in its order, at most MOST."""
    wanted = query.codes[:MOST]
    found = {each.code: each for each in Experiment.objects.filter(team=team, code__in=wanted).select_related("owner")}
    return [found[code] for code in wanted if code in found]


def lines_of(experiments: Sequence[Experiment]) -> list[Line]:
    """A run keeps the colour it has on every page. Where two would share one, the later takes the next free colour;
    past the seventh, runs are grey and differ by dash."""
    free = set(range(1, SLOTS + 1))
    lines: list[Line] = []
    for experiment in experiments:
        if not free:
            lines.append(Line(GREY, DASHES[(len(lines) - SLOTS) % len(DASHES)]))
            continue
        own = experiment.colour_slot
        slot = own if own in free else next(slot for step in range(SLOTS) if (slot := (own + step) % SLOTS + 1) in free)
        free.remove(slot)
        lines.append(Line(slot, "solid"))
    return lines
