"""What the frame around every page shows: team, navigation, how busy the workers are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from jobs.kinds import all_kinds
from jobs.models import Experiment, Shard, ShardStatus, Worker
from webapp.accounts.models import Membership
from webapp.experiments.access import SESSION_TEAM

# A worker that has been silent for longer is not counted as there.
WORKER_SILENCE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class NavigationItem:
    title: str
    short: str  # for the phone's tab bar
    url: str
    icon: str
    current: bool
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many workers are alive and busy, and how many shards wait."""

    url: str
    workers: int
    busy: int
    queued: int


@dataclass(frozen=True, slots=True)
class Shell:
    membership: Membership | None
    memberships: list[Membership]
    navigation: list[NavigationItem]
    capacity: Capacity | None

    @property
    def team(self) -> Any:
        return self.membership and self.membership.team

    @property
    def can_write(self) -> bool:
        return self.membership is not None and self.membership.can_write

    @property
    def new_url(self) -> str:
        return new_experiment_url(self.membership) if self.membership else ""


def shell(request: HttpRequest) -> dict[str, Any]:
    """Context processor. Lazy: public pages and share pages show no frame and pay for none."""
    return {"shell": SimpleLazyObject(lambda: _build(request))}


def new_experiment_url(membership: Membership, kind: str = "") -> str:
    return reverse("experiment-new", args=[membership.team.code, kind or all_kinds()[0].name])


def _build(request: HttpRequest) -> Shell:
    if not getattr(request, "user", None) or not request.user.is_authenticated:
        return Shell(None, [], [], None)
    memberships = list(Membership.objects.filter(user=request.user).select_related("team").order_by("pk"))
    membership = _current(request, memberships)
    if membership is None:
        return Shell(None, [], [], None)
    capacity = _capacity(membership)
    return Shell(membership, memberships, _navigation(request, membership, capacity), capacity)


def _current(request: HttpRequest, memberships: list[Membership]) -> Membership | None:
    """The membership of this page's team, else of the team seen last, else the first."""
    of_page: Membership | None = getattr(request, "canopy_membership", None)
    if of_page is not None:
        return of_page
    seen = request.session.get(SESSION_TEAM)
    return next((m for m in memberships if str(m.team.code) == seen), memberships[0] if memberships else None)


def _capacity(membership: Membership) -> Capacity:
    alive = Worker.objects.filter(heartbeat_at__gt=timezone.now() - WORKER_SILENCE).values_list("shard_id", flat=True)
    shards = list(alive)
    return Capacity(
        url=reverse("workers", args=[membership.team.code]),
        workers=len(shards),
        busy=sum(shard is not None for shard in shards),
        queued=Shard.objects.filter(status=ShardStatus.QUEUED, experiment__team=membership.team).count(),
    )


def _navigation(request: HttpRequest, membership: Membership, capacity: Capacity) -> list[NavigationItem]:
    code = membership.team.code
    pages = [
        ("Overview", "Home", "team-home", "home", None),
        ("Experiments", "Runs", "experiments", "list", Experiment.objects.filter(team=membership.team).count()),
        ("Compare", "Compare", "compare", "compare", None),
        ("Boards", "Boards", "boards", "board", None),
        ("Workers", "Workers", "workers", "worker", capacity.workers),
        ("Share links", "Links", "share-links", "link", None),
        ("Prices", "Prices", "prices", "coin", None),
        ("People", "People", "team-people", "user", None),
    ]
    current = request.resolver_match.url_name or "" if request.resolver_match else ""
    # The pages of one experiment ("experiment", "experiment-tab", ...) belong to the list.
    current = "experiments" if current.startswith("experiment") else current
    current = "prices" if current.startswith("price") else current
    current = "boards" if current.startswith("board") else current
    current = {"queue": "workers", "activity": "team-people"}.get(current, current)
    return [
        NavigationItem(title, short, reverse(name, args=[code]), icon, name == current, count)
        for title, short, name, icon, count in pages
    ]
