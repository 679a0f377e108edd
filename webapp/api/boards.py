"""Operations on boards and on what a team used. Members change boards, everybody in the team reads them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest
from django.urls import reverse
from ninja import Router, Schema, Status
from pydantic import ConfigDict, Field

from webapp.api.auth import reach, reach_team, token_of
from webapp.api.errors import Problem
from webapp.api.schemas import EXAMPLE_CODE, Asked, Listing
from webapp.boards import freezing, services
from webapp.boards.content import AnyTile, Content
from webapp.boards.models import Board, FrozenBoard
from webapp.boards.services import Author
from webapp.boards.usage import usage_of
from webapp.experiments.kind_pages import kind_page

router = Router(tags=["boards"])
EXAMPLE: Any = {
    "title": "Scaling, autumn",
    "tiles": [
        {"type": "text", "id": "intro", "x": 0, "y": 0, "w": 12, "h": 3, "text": "# What we know"},
        {"type": "experiment", "id": "curve", "x": 0, "y": 3, "w": 6, "h": 11, "experiment": EXAMPLE_CODE,
         "name": "coverage"},
    ],
}  # fmt: skip


class BoardIn(Content):
    """Tiles never overlap: each is moved up as far as it goes."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})


class BoardSave(BoardIn):
    base: int = Field(ge=1, description="The version that was changed. 409 when it is not the newest any more.")

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE | {"base": 3}]})


class RestoreIn(Asked):
    base: int = Field(ge=1, description="The newest version as you know it.")

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"base": 3}]})


class BoardOut(Schema):
    code: UUID = Field(examples=[EXAMPLE_CODE])
    team: UUID
    title: str
    version: int
    created_at: datetime
    updated_at: datetime
    url: str = Field(description="Its page.")


class BoardFull(BoardOut):
    tiles: list[AnyTile]


class VersionOut(Schema):
    number: int
    changes: str = Field(description="What it changed, in words.", examples=["moved coverage, removed cost"])
    saved_by: str
    saved_at: datetime


class FrozenOut(Schema):
    code: UUID = Field(examples=[EXAMPLE_CODE])
    board: UUID
    title: str
    version: int
    frozen_by: str
    frozen_at: datetime
    url: str = Field(description="Its page.")


class FrozenFull(FrozenOut):
    tiles: list[AnyTile]
    states: dict[str, Any] = Field(description="Each experiment's live state as of then, by its code.")
    data: dict[str, Any] = Field(description="By code and part: figures' data that is computed on demand.")
    series: dict[str, Any] = Field(description="By tile: what comparisons draw.")


class TileOut(Schema):
    name: str = Field(examples=["coverage"])
    title: str
    w: int = Field(description="Columns that it takes at first.")
    h: int


class UsageOut(Schema):
    """Rows by member, columns by day."""

    days: list[date]
    members: list[str]
    hours: list[list[float]] = Field(description="GPU hours of the last attempt of each shard.")
    dollars: list[list[float]] = Field(description="US$ at the team's price table.")
    unpriced_hours: dict[str, float] = Field(description="Hours that have no price, by device.")


@router.get("/teams/{uuid:team}/boards", response=Listing[BoardOut], operation_id="list_boards")
def list_boards(request: HttpRequest, team: UUID) -> dict[str, Any]:
    """The team's boards, the one saved last first."""
    found, _ = reach_team(request, team)
    boards = found.boards.select_related("team").order_by("-updated_at")
    return {"items": [_board(request, each) for each in boards], "next_cursor": None}


@router.post("/teams/{uuid:team}/boards", response={201: BoardFull}, operation_id="create_board")
def create_board(request: HttpRequest, team: UUID, body: BoardIn) -> Status[dict[str, Any]]:
    """Make a board. Its experiments must be the team's, and their kinds must have the tiles."""
    found, _ = reach_team(request, team, write=True)
    try:
        board = services.create(found, _content(body), _author(request))
    except services.Refused as error:
        raise Problem(409, str(error)) from None
    return Status(201, _full(request, board))


@router.get("/boards/{uuid:board}", response=BoardFull, operation_id="get_board")
def get_board(request: HttpRequest, board: UUID) -> dict[str, Any]:
    """The board's newest version."""
    return _full(request, _reach(request, board))


@router.put("/boards/{uuid:board}", response=BoardFull, operation_id="save_board")
def save_board(request: HttpRequest, board: UUID, body: BoardSave) -> dict[str, Any]:
    """Save the next version. 409 when somebody saved since ``base``: nothing is overwritten and nothing merged."""
    found = _reach(request, board, write=True)
    return _full(request, _saved(lambda: services.save(found, _content(body), base=body.base, author=_author(request))))


@router.delete("/boards/{uuid:board}", response={204: None}, operation_id="delete_board")
def delete_board(request: HttpRequest, board: UUID) -> Status[None]:
    """Delete the board with its versions and frozen copies. Experiments stay."""
    _reach(request, board, write=True).delete()
    return Status(204, None)


@router.get("/boards/{uuid:board}/versions", response=Listing[VersionOut], operation_id="list_board_versions")
def list_board_versions(request: HttpRequest, board: UUID) -> dict[str, Any]:
    """Who saved what when, newest first."""
    rows = _reach(request, board).versions.order_by("-number").defer("content")
    items = [
        {"number": row.number, "changes": row.changes, "saved_by": row.saved_by_name, "saved_at": row.saved_at}
        for row in rows
    ]
    return {"items": items, "next_cursor": None}


@router.post("/boards/{uuid:board}/versions/{int:number}/restore", response=BoardFull, operation_id="restore_board")
def restore_board(request: HttpRequest, board: UUID, number: int, body: RestoreIn) -> dict[str, Any]:
    """Make an older version the newest one. What came between stays in the list."""
    found = _reach(request, board, write=True)
    # A number that no column can hold is no version either.
    old = found.versions.filter(number=number).first() if number < 2**31 else None
    if old is None:
        raise Http404("no such version")
    return _full(request, _saved(lambda: services.restore(found, old, base=body.base, author=_author(request))))


@router.get("/boards/{uuid:board}/frozen", response=Listing[FrozenOut], operation_id="list_frozen_boards")
def list_frozen_boards(request: HttpRequest, board: UUID) -> dict[str, Any]:
    """The board's frozen copies, newest first."""
    found = _reach(request, board)
    copies = found.frozen.order_by("-frozen_at").defer("kept").select_related("board")
    return {"items": [_frozen(request, each) for each in copies], "next_cursor": None}


@router.post("/boards/{uuid:board}/frozen", response={201: FrozenOut}, operation_id="freeze_board")
def freeze_board(request: HttpRequest, board: UUID) -> Status[dict[str, Any]]:
    """Keep the board with all its numbers as they are now."""
    found = _reach(request, board, write=True)
    try:
        made = freezing.freeze(found, _author(request))
    except services.Refused as error:
        raise Problem(409, str(error)) from None
    return Status(201, _frozen(request, made))


@router.get("/frozen-boards/{uuid:frozen}", response=FrozenFull, operation_id="get_frozen_board")
def get_frozen_board(request: HttpRequest, frozen: UUID) -> dict[str, Any]:
    """A frozen copy with all numbers that it draws."""
    found = _reach_frozen(request, frozen)
    content = Content.model_validate(found.kept["content"])
    return _frozen(request, found) | freezing.numbers(found.kept) | {"tiles": content.as_json()["tiles"]}


@router.delete("/frozen-boards/{uuid:frozen}", response={204: None}, operation_id="delete_frozen_board")
def delete_frozen_board(request: HttpRequest, frozen: UUID) -> Status[None]:
    """Delete a frozen copy. The board stays."""
    _reach_frozen(request, frozen, write=True).delete()
    return Status(204, None)


@router.get("/experiments/{uuid:code}/tiles", response=Listing[TileOut], operation_id="list_tiles")
def list_tiles(request: HttpRequest, code: UUID) -> dict[str, Any]:
    """What of the experiment can stand on a board."""
    experiment = reach(request, code).experiment
    known = [each for each in kind_page(experiment.kind).tiles if each.fits(experiment)]
    items = [{"name": each.name, "title": each.title, "w": each.width, "h": each.height} for each in known]
    return {"items": items, "next_cursor": None}


@router.get("/teams/{uuid:team}/usage", response=UsageOut, operation_id="get_usage", tags=["teams"])
def get_usage(request: HttpRequest, team: UUID) -> dict[str, Any]:
    """GPU hours and spend of the last 30 days, by member and day."""
    found, _ = reach_team(request, team)
    usage = usage_of(found)
    return usage.as_json() | {"unpriced_hours": dict(usage.unpriced)}


def _author(request: HttpRequest) -> Author:
    token = token_of(request)
    return Author(token.user, token.actor)


def _content(body: BoardIn) -> Content:
    return Content(title=body.title, tiles=body.tiles)


def _saved(write: Any) -> Board:
    try:
        board: Board = write()
    except (services.Stale, services.Refused) as error:
        raise Problem(409, str(error)) from None
    return board


def _reach(request: HttpRequest, code: UUID, *, write: bool = False) -> Board:
    board = Board.objects.select_related("team").filter(code=code).first()
    if board is None:
        raise Http404("no such board")
    reach_team(request, board.team.code, write=write)
    return board


def _reach_frozen(request: HttpRequest, code: UUID, *, write: bool = False) -> FrozenBoard:
    frozen = FrozenBoard.objects.select_related("board__team").filter(code=code).first()
    if frozen is None:
        raise Http404("no such copy")
    reach_team(request, frozen.board.team.code, write=write)
    return frozen


def _board(request: HttpRequest, board: Board) -> dict[str, Any]:
    return {
        "code": board.code,
        "team": board.team.code,
        "title": board.title,
        "version": board.version,
        "created_at": board.created_at,
        "updated_at": board.updated_at,
        "url": request.build_absolute_uri(reverse("board", args=[board.code])),
    }


def _full(request: HttpRequest, board: Board) -> dict[str, Any]:
    return _board(request, board) | {"tiles": board.content["tiles"]}


def _frozen(request: HttpRequest, frozen: FrozenBoard) -> dict[str, Any]:
    return {
        "code": frozen.code,
        "board": frozen.board.code,
        "title": frozen.title,
        "version": frozen.version,
        "frozen_by": frozen.frozen_by_name,
        "frozen_at": frozen.frozen_at,
        "url": request.build_absolute_uri(reverse("board-frozen", args=[frozen.code])),
    }
