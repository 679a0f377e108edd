"""The list of a team's experiments: what the address asks for, and the rows it gives.

Everything that narrows or orders the list is in the address, so that a list can be bookmarked and sent to somebody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.core.paginator import Page, Paginator
from django.db.models import Count, DurationField, ExpressionWrapper, F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from jobs.kinds import all_kinds
from jobs.models import Experiment, Shard, Status
from webapp.accounts.models import Team, User

PAGE_SIZE = 25
MINE = "mine"
ALL = "all"
# What a column sorts by; a leading minus in the address turns it around.
SORTS = {"name": "name", "status": "status", "result": "summary__value", "time": "run_time", "created": "created_at"}
DEFAULT_SORT = "-created"


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What the address asks for. Nonsense in an address falls back to the default instead of failing."""

    tab: str = ALL  # "all", "mine" or a kind's name
    text: str = ""
    status: str = ""
    owner: UUID | None = None
    sort: str = DEFAULT_SORT
    page: int = 1

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> ListQuery:
        def one_of(name: str, allowed: set[str], default: str) -> str:
            value = parameters.get(name, "")
            return value if value in allowed else default

        sorts = set(SORTS) | {f"-{name}" for name in SORTS}
        page = parameters.get("page", "")
        return cls(
            tab=one_of("tab", {ALL, MINE, *(kind.name for kind in all_kinds())}, ALL),
            text=parameters.get("q", "").replace("\0", "")[:200].strip(),
            status=one_of("status", set(Status.values), ""),
            owner=_uuid(parameters.get("owner", "")),
            sort=one_of("sort", sorts, DEFAULT_SORT),
            page=int(page) if page.isascii() and page.isdigit() and len(page) < 7 else 1,
        )

    def url(self, **changes: Any) -> str:
        """The query string of this list with some of it changed; never empty, because an empty address means "the list
        as I left it"."""
        query = replace(self, **{"page": 1, **changes})
        parts = {
            "tab": query.tab,
            "q": query.text,
            "status": query.status,
            "owner": query.owner or "",
            "sort": query.sort if query.sort != DEFAULT_SORT else "",
            "page": query.page if query.page > 1 else "",
        }
        return "?" + urlencode({name: value for name, value in parts.items() if value})

    @property
    def narrows(self) -> bool:
        """Whether anything but the tab hides experiments."""
        return bool(self.text or self.status or self.owner)

    def sort_url(self, column: str) -> str:
        """The address that a column's head leads to: by this column, or turned around when it is already."""
        first = f"-{column}" if column in {"created", "result", "time"} else column
        other = first.removeprefix("-") if first.startswith("-") else f"-{first}"
        return self.url(sort=other if self.sort == first else first)

    def aria_sort(self, column: str) -> str:
        """ "ascending", "descending" or nothing: what the column's head says to a screen reader."""
        return {column: "ascending", f"-{column}": "descending"}.get(self.sort, "")


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list."""

    experiment: Experiment
    percent: int | None  # of a running one
    run_time: timedelta | None

    @property
    def note(self) -> str:
        """The small line under the name: why it failed, else what kind it is."""
        if self.experiment.status == Status.FAILED and self.experiment.reason:
            return self.experiment.reason
        return self.experiment.kind_object.title


@dataclass(frozen=True, slots=True)
class Counts:
    """How many experiments of the team there are, in all and by what the tabs select."""

    total: int
    mine: int
    running: int
    queued: int
    by_kind: dict[str, int]


def count(team: Team, user: User) -> Counts:
    """All counts in one query."""
    totals = Experiment.objects.filter(team=team).aggregate(
        total=Count("pk"),
        mine=Count("pk", filter=Q(owner=user)),
        running=Count("pk", filter=Q(status=Status.RUNNING)),
        queued=Count("pk", filter=Q(status=Status.QUEUED)),
        **{f"kind_{kind.name}": Count("pk", filter=Q(kind=kind.name)) for kind in all_kinds()},
    )
    by_kind = {kind.name: totals[f"kind_{kind.name}"] for kind in all_kinds()}
    return Counts(totals["total"], totals["mine"], totals["running"], totals["queued"], by_kind)


def select(team: Team, user: User, query: ListQuery) -> QuerySet[Experiment]:
    """The experiments the query asks for, in its order."""
    found: QuerySet[Experiment] = Experiment.objects.filter(team=team).select_related("owner")
    if query.tab == MINE:
        found = found.filter(owner=user)
    elif query.tab != ALL:
        found = found.filter(kind=query.tab)
    if query.text:
        found = found.filter(Q(name__icontains=query.text) | Q(spec__model__icontains=query.text))
    if query.status:
        found = found.filter(status=query.status)
    if query.owner:
        found = found.filter(owner__code=query.owner)
    return _ordered(found, query.sort)


def _ordered(found: QuerySet[Experiment], sort: str) -> QuerySet[Experiment]:
    column = SORTS[sort.removeprefix("-")]
    if column == "run_time":
        ended = Coalesce(F("finished_at"), Now())
        found = found.annotate(run_time=ExpressionWrapper(ended - F("started_at"), output_field=DurationField()))
    order = F(column).desc(nulls_last=True) if sort.startswith("-") else F(column).asc(nulls_last=True)
    return found.order_by(order, "-pk")


def page_of(found: QuerySet[Experiment], number: int) -> Page[Experiment]:
    """The page with that number, or the last one when there are fewer."""
    return Paginator(found, PAGE_SIZE).get_page(number)


def rows(experiments: list[Experiment]) -> list[Row]:
    """The lines of a page; one query for the progress of all running ones."""
    running = [experiment.pk for experiment in experiments if experiment.status == Status.RUNNING]
    sums = (
        Shard.objects.filter(experiment__in=running).values("experiment").annotate(done=Sum("done"), all=Sum("total"))
    )
    percent = {row["experiment"]: 100 * row["done"] // max(1, row["all"]) for row in sums}
    return [Row(experiment, percent.get(experiment.pk), _run_time(experiment)) for experiment in experiments]


def _run_time(experiment: Experiment) -> timedelta | None:
    if experiment.started_at is None:
        return None
    return (experiment.finished_at or timezone.now()) - experiment.started_at
