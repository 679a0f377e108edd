"""Pages of boards: list, board, versions, frozen copies, and what the editor asks for."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe
from pydantic import ValidationError

from webapp.accounts.models import Membership, Team
from webapp.boards import freezing, services
from webapp.boards.access import author, get_board, get_frozen
from webapp.boards.content import COLUMNS, LEAST_HEIGHT, LEAST_WIDTH, MOST_HEIGHT, MOST_TILES, Content
from webapp.boards.differences import differences
from webapp.boards.markdown import rendered
from webapp.boards.models import Board, BoardVersion
from webapp.boards.show import Shown, heads_of, shown_tiles
from webapp.experiments.access import get_experiment, get_team
from webapp.experiments.compare.query import CompareQuery, chosen
from webapp.experiments.kind_pages import kind_comparison, kind_page
from webapp.sharing.dialog import Thing, offer

Json = dict[str, Any]
VERSIONS_SHOWN = 50
LARGEST_BODY = 600_000  # bytes of a save: 40 tiles with 10,000 characters each


class BadBody(Exception):
    """The body cannot be read; says what is wrong."""


def _content(request: HttpRequest) -> tuple[Json, Content]:
    """The body of a save, and the content in it; raises BadBody."""
    if len(request.body) > LARGEST_BODY:
        raise BadBody("The board's texts are too long altogether. Shorten some.")
    try:
        body = json.loads(request.body)
        return body, Content.model_validate(body["content"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadBody(_sentence(error)) from None


def _sentence(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return f"{place}: {first['msg'].removeprefix('Value error, ')}."
    return "The page sent something that is no board. Reload it and try again."


@require_safe
def boards(request: HttpRequest, team: UUID) -> HttpResponse:
    found, membership = get_team(request, team)
    rows = [(board, len(board.content["tiles"])) for board in found.boards.order_by("-updated_at")]
    return render(request, "boards/list.html", {"team": found, "membership": membership, "rows": rows})


@require_POST
def board_create(request: HttpRequest, team: UUID) -> HttpResponse:
    found, _ = get_team(request, team, write=True)
    try:
        content = Content(title=request.POST.get("title", ""))
        board = services.create(found, content, author(request))
    except (ValidationError, services.Refused) as error:
        told = "A board needs a title of 1 to 120 characters." if isinstance(error, ValidationError) else str(error)
        messages.error(request, told)
        return redirect("boards", team)
    return redirect(reverse("board", args=[board.code]) + "?edit=1")


@require_safe
def board(request: HttpRequest, code: UUID) -> HttpResponse:
    """The board; ``?report`` lays it out for paper, ``?edit`` opens it for changes."""
    found, membership = get_board(request, code)
    shown = shown_tiles(found.team, found.shown, can_write=membership.can_write)
    context = _page(found, membership, shown) | {
        "content": found.content,
        "copies": found.frozen.defer("kept").order_by("-frozen_at"),
        "report": "report" in request.GET,
        "share": offer(Thing("board", "This board", {"board": str(found.code)})) if membership.can_write else None,
        "edits": "edit" in request.GET and membership.can_write,
    }
    return _private(render(request, "boards/report.html" if context["report"] else "boards/board.html", context))


def _page(board: Board, membership: Membership, shown: list[Shown]) -> Json:
    return {
        "board": board,
        "team": board.team,
        "membership": membership,
        "tiles": shown,
        **heads_of(shown),
        "limits": {
            "columns": COLUMNS,
            "width": LEAST_WIDTH,
            "height": LEAST_HEIGHT,
            "most": MOST_HEIGHT,
            "tiles": MOST_TILES,
        },
    }


@require_POST
def board_save(request: HttpRequest, code: UUID) -> HttpResponse:
    """JSON: {"base": version, "content": ...}. 409 when somebody saved since ``base``; nothing is lost by that."""
    found, _ = get_board(request, code, write=True)
    try:
        body, content = _content(request)
        base = int(body["base"])
        saved = services.save(found, content, base=base, author=author(request))
    except services.Stale as stale:
        newest = stale.newest
        return JsonResponse({"error": str(stale), "version": newest.number, "by": newest.saved_by_name}, status=409)
    except (BadBody, services.Refused) as error:
        return JsonResponse({"error": str(error)}, status=422)
    except (KeyError, ValueError, TypeError):
        return JsonResponse({"error": "base must be the number of the version that was changed."}, status=422)
    return JsonResponse({"version": saved.version, "content": saved.content})


@require_POST
def board_delete(request: HttpRequest, code: UUID) -> HttpResponse:
    found, _ = get_board(request, code, write=True)
    if request.POST.get("confirm") != "delete":
        messages.error(request, "The board was not deleted: confirm it.")
        return redirect("board", code)
    found.delete()
    messages.success(request, f"{found.title} is deleted.")
    return redirect("boards", found.team.code)


@require_POST
def tile_preview(request: HttpRequest, code: UUID) -> HttpResponse:
    """A tile as HTML, before it is saved: {"content": a board with that tile alone}."""
    found, membership = get_board(request, code, write=True)
    try:
        _, content = _content(request)
        services.check(found.team, content, found.shown)
    except (BadBody, services.Refused) as error:
        return JsonResponse({"error": str(error)}, status=422)
    tiles = shown_tiles(found.team, content, can_write=membership.can_write)
    return render(request, "boards/tiles.html", {"tiles": tiles, "membership": membership, "board": found})


@require_POST
def markdown_preview(request: HttpRequest, team: UUID) -> HttpResponse:
    get_team(request, team)
    return HttpResponse(rendered(request.POST.get("text", "")[:10_000]))


# --- pinning ----------------------------------------------------------------------------------------------------------


@require_safe
def pin_choices(request: HttpRequest, team: UUID) -> JsonResponse:
    """What can be pinned of ``?experiment=`` or of the comparison ``?query=``, and the boards to pin it to."""
    found, _ = get_team(request, team)
    names = found.boards.order_by("-updated_at").values_list("code", "title")
    tiles = _pinnable(request, found)
    return JsonResponse({"boards": [{"code": code, "title": title} for code, title in names], "tiles": tiles})


def _pinnable(request: HttpRequest, team: Team) -> list[Json]:
    if "experiment" in request.GET:
        try:
            experiment = get_experiment(request, UUID(request.GET["experiment"]))
        except ValueError:
            raise Http404("no such experiment") from None
        if experiment.team_id != team.pk:
            raise Http404("no such experiment")
        known = [each for each in kind_page(experiment.kind).tiles if each.fits(experiment)]
        return [{"name": each.name, "title": each.title, "w": each.width, "h": each.height} for each in known]
    first = next(iter(chosen(team, CompareQuery.parse(request.GET))), None)
    offered = kind_comparison(first.kind).tiles if first else ()
    return [{"name": each.name, "title": each.title, "w": each.width, "h": each.height} for each in offered]


@require_POST
def pin(request: HttpRequest, team: UUID) -> JsonResponse:
    """JSON: {"board": code, or "title" of a new one, "tiles": [...]}. Appends, so it needs no version."""
    found, _ = get_team(request, team, write=True)
    try:
        body = json.loads(request.body)
        tiles = [dict(tile) for tile in body["tiles"]]
        with transaction.atomic():
            target = _target(request, found, body)
            saved = services.pin(target, tiles, author(request))
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        return JsonResponse({"error": _sentence(error)}, status=422)
    except services.Refused as error:
        return JsonResponse({"error": str(error)}, status=422)
    return JsonResponse({"url": reverse("board", args=[saved.code]), "title": saved.title, "version": saved.version})


def _target(request: HttpRequest, team: Team, body: Json) -> Board:
    if body.get("board"):
        board = Board.objects.filter(team=team, code=UUID(str(body["board"]))).first()
        if board is None:
            raise services.Refused("This board is gone. Choose another one.")
        return board
    return services.create(team, Content(title=str(body.get("title", ""))), author(request))


# --- versions ---------------------------------------------------------------------------------------------------------


@require_safe
def versions(request: HttpRequest, code: UUID) -> HttpResponse:
    found, membership = get_board(request, code)
    rows = found.versions.order_by("-number").defer("content")[:VERSIONS_SHOWN]
    copies = found.frozen.defer("kept").order_by("-frozen_at")
    context = {"board": found, "team": found.team, "membership": membership, "versions": rows, "copies": copies}
    return render(request, "boards/versions.html", context)


@require_safe
def version(request: HttpRequest, code: UUID, number: int) -> HttpResponse:
    """The board as that version laid it out, with the numbers of now, and what changed since in words."""
    found, membership = get_board(request, code)
    old = _version(found, number)
    content = Content.model_validate(old.content)
    shown = shown_tiles(found.team, content, can_write=False)
    since = differences(content, found.shown)
    context = _page(found, membership, shown) | {"version": old, "content": old.content, "since": since}
    return _private(render(request, "boards/version.html", context))


def _version(board: Board, number: int) -> BoardVersion:
    old = board.versions.filter(number=number).first()
    if old is None:
        raise Http404("no such version")
    return old


@require_POST
def restore(request: HttpRequest, code: UUID, number: int) -> HttpResponse:
    found, _ = get_board(request, code, write=True)
    old = _version(found, number)
    base = request.POST.get("base", "")
    try:
        services.restore(found, old, base=int(base) if base.isdigit() else 0, author=author(request))
    except (services.Stale, services.Refused) as error:
        messages.error(request, str(error))
        return redirect("board-versions", code)
    messages.success(request, f"Version {number} is restored.")
    return redirect("board", code)


# --- frozen copies ----------------------------------------------------------------------------------------------------


@require_POST
def freeze(request: HttpRequest, code: UUID) -> HttpResponse:
    found, _ = get_board(request, code, write=True)
    try:
        made = freezing.freeze(found, author(request))
    except services.Refused as error:
        messages.error(request, str(error))
        return redirect("board", code)
    return redirect("board-frozen", made.code)


@require_safe
def frozen(request: HttpRequest, code: UUID) -> HttpResponse:
    found, membership = get_frozen(request, code)
    shown = freezing.thawed(found.kept)
    context = _page(found.board, membership, shown) | {
        "frozen": found,
        "content": found.kept["content"],
        "report": "report" in request.GET,
        "kept_url": reverse("board-frozen-numbers", args=[code]),
    }
    return _private(render(request, "boards/report.html" if context["report"] else "boards/frozen.html", context))


@require_safe
def frozen_numbers(request: HttpRequest, code: UUID) -> JsonResponse:
    found, _ = get_frozen(request, code)
    response = JsonResponse(freezing.numbers(found.kept))
    response.headers["Cache-Control"] = "private, max-age=3600"
    return response


@require_POST
def frozen_delete(request: HttpRequest, code: UUID) -> HttpResponse:
    found, _ = get_frozen(request, code, write=True)
    found.delete()
    messages.success(request, "The frozen copy is deleted.")
    return redirect("board", found.board.code)


def _private(response: HttpResponse) -> HttpResponse:
    response.headers["Cache-Control"] = "private, no-cache"
    return response
