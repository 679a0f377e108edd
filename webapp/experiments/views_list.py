"""Pages of a team: the list of experiments, the search behind the command palette, the workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from jobs.devices import Processor
from jobs.kinds import all_kinds
from jobs.models import Experiment, Queue, Status, Worker
from webapp.accounts.models import Membership, Team, User
from webapp.context import WORKER_SILENCE
from webapp.experiments import listing
from webapp.experiments.access import SESSION_TEAM, get_team

SEARCH_RESULTS = 8
# The columns of the list that can be sorted: key, head, whether it holds numbers, whether a phone hides it.
COLUMNS = [
    ("name", "Name", False, False),
    ("status", "Status", False, False),
    ("", "Trend", False, True),
    ("result", "Main result", True, False),
    ("time", "Run time", True, True),
    ("", "Owner", False, True),
    ("created", "Created", True, True),
]


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The page of the team seen last; somebody without a team makes one first."""
    teams = Team.objects.filter(memberships__user=cast(User, request.user)).order_by("memberships__joined_at")
    codes = [str(code) for code in teams.values_list("code", flat=True)]
    if not codes:
        return redirect("team-new")
    seen = request.session.get(SESSION_TEAM)
    return redirect("team-home", seen if seen in codes else codes[0])


@require_safe
def experiments(request: HttpRequest, team: UUID) -> HttpResponse:
    """The list. Its plain address opens it as it was left; ``?clear`` forgets that."""
    found, membership = get_team(request, team)
    saved_as = f"list:{found.code}"
    if "clear" in request.GET:
        request.session.pop(saved_as, None)
        return redirect("experiments", team)
    if not request.GET and request.session.get(saved_as):
        return redirect(reverse("experiments", args=[team]) + request.session[saved_as])
    query = listing.ListQuery.parse(request.GET)
    _save(request, saved_as, query.url() if request.GET else "")
    return render(request, "experiments/list.html", _list_context(found, membership, query))


def _save(request: HttpRequest, key: str, url: str) -> None:
    if request.session.get(key, "") != url:
        request.session[key] = url


def _list_context(team: Team, membership: Membership, query: listing.ListQuery) -> dict[str, object]:
    user = membership.user
    counts = listing.count(team, user)
    page = listing.page_of(listing.select(team, user, query), query.page)
    tabs = [(listing.ALL, "All", counts.total)]
    tabs += [(kind.name, kind.title, counts.by_kind[kind.name]) for kind in all_kinds()]
    tabs += [(listing.MINE, "Mine", counts.mine)]
    return {
        "team": team,
        "membership": membership,
        "query": query,
        "counts": counts,
        "tabs": [(query.url(tab=tab), title, number, query.tab == tab) for tab, title, number in tabs],
        "columns": [
            (head, query.sort_url(key) if key else "", query.aria_sort(key) if key else "", numeric, hidden)
            for key, head, numeric, hidden in COLUMNS
        ],
        "statuses": Status.choices,
        "people": User.objects.filter(memberships__team=team).order_by("name"),
        "page": page,
        "rows": listing.rows(list(page.object_list)),
        "previous_url": query.url(page=page.number - 1) if page.has_previous() else "",
        "next_url": query.url(page=page.number + 1) if page.has_next() else "",
        "is_live": bool(counts.running or counts.queued),
    }


@require_safe
def search(request: HttpRequest, team: UUID) -> JsonResponse:
    """Experiments of the team whose name holds ``?q=``, newest first, for the command palette."""
    found, membership = get_team(request, team)
    query = listing.ListQuery.parse({"q": request.GET.get("q", "")})
    experiments = listing.select(found, membership.user, query)[:SEARCH_RESULTS]
    return JsonResponse({"experiments": [_search_result(experiment) for experiment in experiments]})


def _search_result(experiment: Experiment) -> dict[str, object]:
    return {
        "code": experiment.code,
        "name": experiment.name,
        "url": reverse("experiment", args=[experiment.code]),
        "status": experiment.get_status_display(),
        "colour": experiment.colour_slot,
    }


@require_safe
def workers(request: HttpRequest, team: UUID) -> HttpResponse:
    """Every worker that reported itself. What it does for another team is not told."""
    found, _ = get_team(request, team)
    since = timezone.now() - WORKER_SILENCE
    known = Worker.objects.select_related("shard__experiment").order_by("host", "name")
    rows = [
        WorkerRow(worker, worker.heartbeat_at > since, _own_experiment(worker, found), _processors(worker))
        for worker in known
    ]
    return render(request, "experiments/workers.html", {"team": found, "workers": rows})


@dataclass(frozen=True, slots=True)
class WorkerRow:
    worker: Worker
    is_alive: bool
    experiment: Experiment | None
    processors: list[Processor]

    @property
    def stands_in(self) -> bool:
        """Whether a CPU does the work of a GPU."""
        return self.worker.queue == Queue.GPU and any(not each.is_gpu for each in self.processors)


def _processors(worker: Worker) -> list[Processor]:
    """As the last heartbeat told; a worker of an older version told the name only."""
    told = [Processor(**each) for each in worker.processors]
    return told or [Processor(worker.device, is_gpu=not worker.device.startswith("CPU"))]


def _own_experiment(worker: Worker, team: Team) -> Experiment | None:
    if worker.shard is None or worker.shard.experiment.team_id != team.pk:
        return None
    return worker.shard.experiment
