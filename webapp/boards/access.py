"""Boards are reached through their team: members edit, viewers read, for others there is nothing."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.http import Http404, HttpRequest

from webapp.accounts.models import Membership, User
from webapp.boards.models import Board, FrozenBoard
from webapp.boards.services import Author
from webapp.experiments.access import get_team


def get_board(request: HttpRequest, code: UUID, *, write: bool = False) -> tuple[Board, Membership]:
    """Http404 for outsiders, PermissionDenied for viewers who write."""
    board = Board.objects.select_related("team").filter(code=code).first()
    if board is None:
        raise Http404("no such board")
    _, membership = get_team(request, board.team.code, write=write)
    return board, membership


def get_frozen(request: HttpRequest, code: UUID, *, write: bool = False) -> tuple[FrozenBoard, Membership]:
    """Raises like ``get_board``."""
    frozen = FrozenBoard.objects.select_related("board__team").filter(code=code).first()
    if frozen is None:
        raise Http404("no such copy")
    _, membership = get_team(request, frozen.board.team.code, write=write)
    return frozen, membership


def author(request: HttpRequest) -> Author:
    return Author.of(cast(User, request.user))
