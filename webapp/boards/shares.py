"""What a share link opens of boards: one board, live or frozen, and the numbers that its tiles are drawn from.

Strangers get no socket: a live link's page asks for the numbers again and again, and they are made at most once in
FRESH seconds for all who look.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from jobs.models import Experiment
from webapp.accounts.models import Team
from webapp.boards.content import Content
from webapp.boards.freezing import numbers, numbers_of, thawed
from webapp.boards.models import Board
from webapp.boards.services import codes_of
from webapp.boards.show import heads_of
from webapp.sharing.access import Visit, opens
from webapp.sharing.models import ShareLink
from webapp.sharing.targets import About, CannotShare, ShareTarget, Subject, Words

Json = dict[str, Any]
FRESH = 8  # seconds


class BoardTarget(ShareTarget):
    """scope: {"board": code}"""

    name = "board"
    title = "One board"
    can_freeze = True

    def clean(self, team: Team, scope: Json) -> Subject:
        board = _find(team, scope.get("board"))
        if board is None:
            raise CannotShare("There is no such board in this team.")
        return Subject({"board": str(board.code)})

    def about(self, link: ShareLink) -> About | None:
        board = _board(link)
        if board is not None:
            return About(board.title, reverse("board", args=[board.code]))
        if link.frozen is not None:  # what it shows is in the link
            return About(str(link.frozen.content["content"]["title"]), reverse("boards", args=[link.team.code]))
        return None

    def experiments(self, link: ShareLink) -> list[Experiment]:
        board = _board(link)
        content = Content.model_validate(link.frozen.content["content"]) if link.frozen else board and board.shown
        codes = {code for tile in content.tiles for code in codes_of(tile)} if content else set()
        return list(Experiment.objects.filter(team=link.team, code__in=codes).select_related("team", "owner"))

    def words(self, link: ShareLink, *, frozen: bool) -> Words:
        board = _board(link)
        title = board.title if board else "a board that is gone"
        shows = [
            f"The board {title}: its texts, and its tiles with their numbers",
            "The state and results of the experiments on it, by name, as far as tiles may draw them",
        ]
        if not frozen:
            shows.append("What is added to the board later")
        hides = [
            "Sample texts, pictures, 3D scenes, settings, files and logs of these experiments",
            "The board's versions, and every other page of the team",
        ]
        return Words(shows, hides)

    def page(self, request: HttpRequest, visit: Visit) -> HttpResponseBase:
        kept = _kept(visit)
        shown = thawed(kept)
        context = {
            "visit": visit,
            "content": kept["content"],
            "tiles": shown,
            **heads_of(shown),
            "kept_url": visit.url("shared-board"),
            "follows": visit.frozen is None,
        }
        return _private(render(request, "boards/shared.html", context))

    def freeze(self, link: ShareLink) -> Json:
        board = _board(link)
        if board is None:
            raise CannotShare("There is no such board in this team.")
        return numbers_of(board, shared=True)


@opens("board")
@require_safe
def shared_board(request: HttpRequest, visit: Visit) -> HttpResponseBase:
    """/s/<token>/board.json: what the tiles are drawn from."""
    return _private(JsonResponse(numbers(_kept(visit))))


def _kept(visit: Visit) -> Json:
    if visit.frozen is not None:
        return visit.frozen
    board = _board(visit.link)
    assert board is not None  # webapp.sharing.access closed the link otherwise
    key = f"shared-board:{board.pk}:{board.version}"
    kept: Json | None = cache.get(key)
    if kept is None:
        kept = numbers_of(board, shared=True)
        cache.set(key, kept, FRESH)
    return kept


def _board(link: ShareLink) -> Board | None:
    return _find(link.team, link.scope.get("board"))


def _find(team: Team, code: object) -> Board | None:
    try:
        return Board.objects.select_related("team").filter(team=team, code=UUID(str(code))).first()
    except ValueError:
        return None


def _private(response: HttpResponse) -> HttpResponse:
    response.headers["Cache-Control"] = "private, no-cache"
    return response
