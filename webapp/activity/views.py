"""The page of what was done in a team: for owners, with filters that stand in the address, and as a file."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils.dateparse import parse_date
from django.utils.text import slugify
from django.views.decorators.http import require_safe

from webapp.accounts.models import Team
from webapp.activity.models import Entry
from webapp.activity.phrases import PHRASES, phrase
from webapp.experiments.access import get_team

PAGE = 50
HEAD = ["at", "who", "api_token", "action", "what", "target", "address"]


@require_safe
def activity(request: HttpRequest, team: UUID) -> HttpResponse:
    found, membership = get_team(request, team, manage=True)
    chosen, entries = _filtered(request, found)
    page = Paginator(entries, PAGE).get_page(request.GET.get("page"))
    known = Entry.objects.filter(team=found)
    rest = request.GET.copy()
    rest.pop("page", None)
    context = {
        "team": found,
        "membership": membership,
        "page": page,
        "rows": [(entry, phrase(entry.action)) for entry in page.object_list],
        "chosen": chosen,
        "people": sorted(set(known.values_list("actor_name", flat=True))),
        "actions": sorted(
            {(action, phrase(action)) for action in known.values_list("action", flat=True).distinct().order_by()},
            key=lambda each: each[1],
        ),
        "narrows": any(chosen.values()),
        "query": rest.urlencode(),
    }
    return render(request, "activity/list.html", context)


@require_safe
def activity_file(request: HttpRequest, team: UUID) -> StreamingHttpResponse:
    """The filtered entries as CSV, newest first, sent row by row."""
    found, _ = get_team(request, team, manage=True)
    _, entries = _filtered(request, found)
    response = StreamingHttpResponse(csv_lines(entries), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{slugify(found.name) or "team"}-activity.csv"'
    return response


def csv_lines(entries: QuerySet[Entry]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield writer.writerow(HEAD)
    for each in entries.iterator(chunk_size=1_000):
        cells = (each.actor_name, each.via, each.action, phrase(each.action), each.target, each.address or "")
        yield writer.writerow([each.at.isoformat(), *map(_harmless, cells)])


class _Echo:
    """A file that gives back what is written to it."""

    def write(self, text: str) -> str:
        return text


def _harmless(cell: str) -> str:
    """A spreadsheet takes a cell that begins so for a formula."""
    return f"'{cell}" if cell[:1] in "=+-@\t\r" and cell else cell


def _filtered(request: HttpRequest, team: Team) -> tuple[dict[str, Any], QuerySet[Entry]]:
    """``?who=``, ``?action=``, ``?from=`` and ``?to=`` (days in UTC, both inclusive); nonsense is left out."""
    who, action = request.GET.get("who", "").replace("\0", ""), request.GET.get("action", "")
    since, until = _day(request, "from"), _day(request, "to")
    entries = Entry.objects.filter(team=team).order_by("-at", "-pk")
    if who:
        entries = entries.filter(actor_name=who)
    if action in PHRASES:
        entries = entries.filter(action=action)
    if since:
        entries = entries.filter(at__gte=_midnight(since))
    if until:
        entries = entries.filter(at__lt=_midnight(until) + timedelta(days=1))
    return {"who": who, "action": action, "from": since, "to": until}, entries


def _day(request: HttpRequest, name: str) -> date | None:
    try:
        found = parse_date(request.GET.get(name, ""))
    except ValueError:
        return None
    return found if found and 2000 <= found.year < 9000 else None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
