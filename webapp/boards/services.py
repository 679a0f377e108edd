"""Writing boards. Every save makes a version; a save that does not know the newest one is refused, never merged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import QueryDict
from django.utils import timezone

from jobs.models import Experiment
from webapp.accounts.models import Team, User
from webapp.boards.content import MOST_TILES, AnyTile, ComparisonTile, Content, ExperimentTile, fresh_id
from webapp.boards.differences import differences
from webapp.boards.models import Board, BoardVersion
from webapp.experiments.compare.query import CompareQuery
from webapp.experiments.kind_pages import kind_comparison, kind_page

MOST_BOARDS = 200  # of a team
KEPT_VERSIONS = 200  # of a board; older ones go


class Refused(Exception):
    """A sentence that says what to do."""


class Stale(Exception):
    """Somebody saved in the meantime; ``newest`` is that version."""

    def __init__(self, newest: BoardVersion) -> None:
        super().__init__(newest.number)
        self.newest = newest

    def __str__(self) -> str:
        by, number = self.newest.saved_by_name, self.newest.number
        return f"{by} saved version {number} in the meantime: {self.newest.changes}. Load it, then save again."


@dataclass(frozen=True, slots=True)
class Author:
    """Who saves: a person, or a service account by its name."""

    user: User | None
    name: str

    @classmethod
    def of(cls, user: User) -> Author:
        return cls(user, user.name)


@transaction.atomic
def create(team: Team, content: Content, author: Author) -> Board:
    """Raises Refused."""
    if Board.objects.filter(team=team).count() >= MOST_BOARDS:
        raise Refused(f"A team has at most {MOST_BOARDS} boards. Delete one that nobody looks at.")
    check(team, content)
    board = Board.objects.create(team=team, title=content.title, content=content.as_json())
    _keep(board, content, "made the board", author)
    return board


@transaction.atomic
def save(board: Board, content: Content, *, base: int, author: Author, changes: str = "") -> Board:
    """Make ``content`` the next version, if ``base`` is still the newest. Raises Stale or Refused.

    A save that changes nothing makes no version.
    """
    old = Board.objects.select_for_update().get(pk=board.pk)
    if old.version != base:
        raise Stale(BoardVersion.objects.get(board=old, number=old.version))
    check(old.team, content, known=old.shown)
    if content.as_json() == old.content:
        return old
    changed = Board.objects.filter(pk=old.pk, version=base).update(
        version=base + 1, title=content.title, content=content.as_json(), updated_at=timezone.now()
    )
    if not changed:  # where rows cannot be locked
        raise Stale(BoardVersion.objects.filter(board=old).latest("number"))
    _keep(old, content, changes or differences(old.shown, content), author, number=base + 1)
    BoardVersion.objects.filter(board=old, number__lte=base + 1 - KEPT_VERSIONS).delete()
    old.refresh_from_db()
    return old


def _keep(board: Board, content: Content, changes: str, author: Author, number: int = 1) -> None:
    BoardVersion.objects.create(
        board=board,
        number=number,
        content=content.as_json(),
        changes=changes,
        saved_by=author.user,
        saved_by_name=author.name[:120],
    )


def restore(board: Board, version: BoardVersion, *, base: int, author: Author) -> Board:
    """Make an older version the newest one; what came between stays in the list. Raises Stale or Refused."""
    content = Content.model_validate(version.content)
    return save(board, content, base=base, author=author, changes=f"restored version {version.number}")


def pin(board: Board, tiles: Iterable[dict[str, Any]], author: Author) -> Board:
    """Put tiles at the end of a board, whatever its version. Raises Refused."""
    with transaction.atomic():
        board = Board.objects.select_for_update().get(pk=board.pk)
        content = board.shown
        added: list[AnyTile] = list(content.tiles)
        bottom = max((tile.y + tile.h for tile in added), default=0)
        for tile in tiles:
            id = fresh_id(str(tile.get("name") or tile.get("type")), [each.id for each in added])
            one = Content.model_validate({"title": "one", "tiles": [tile | {"id": id}]}).tiles[0]
            added.append(one.model_copy(update={"y": bottom}))
        if len(added) > MOST_TILES:
            raise Refused(f"A board holds at most {MOST_TILES} tiles, and {board.title} would have {len(added)}.")
        made = Content(title=content.title, tiles=added)
        return save(board, made, base=board.version, author=author)


def check(team: Team, content: Content, known: Content | None = None) -> None:
    """Refuses tiles of experiments that are not the team's, and of kinds that have no such tile.

    What the board ``known`` shows already may stay: its experiment may have been deleted since.
    """
    old = {tile.id: _shows(tile) for tile in known.tiles} if known else {}
    fresh = [tile for tile in content.tiles if tile.type != "text" and old.get(tile.id) != _shows(tile)]
    codes = {code for tile in fresh for code in codes_of(tile)}
    found = {each.code: each for each in Experiment.objects.filter(team=team, code__in=codes)} if codes else {}
    for tile in fresh:
        mine = [found[code] for code in codes_of(tile) if code in found]
        if len(mine) < len(codes_of(tile)) or not mine:
            raise Refused(f"The tile {tile.id} shows an experiment that is not in this team.")
        _check_name(tile, mine)


def _check_name(tile: AnyTile, experiments: list[Experiment]) -> None:
    first = experiments[0]
    if isinstance(tile, ExperimentTile):
        names = [each.name for each in kind_page(first.kind).tiles if each.fits(first)]
    elif isinstance(tile, ComparisonTile):
        names = [each.name for each in kind_comparison(first.kind).tiles]
    else:
        return
    if tile.name not in names:
        raise Refused(f"{first.name} has no tile called {tile.name}. It has: {', '.join(names) or 'none'}.")


def _shows(tile: AnyTile) -> tuple[object, ...]:
    return (tile.type, getattr(tile, "name", ""), *codes_of(tile))


def codes_of(tile: AnyTile) -> tuple[UUID, ...]:
    """The experiments that a tile shows."""
    if isinstance(tile, ExperimentTile):
        return (tile.experiment,)
    return compare_query(tile).codes if isinstance(tile, ComparisonTile) else ()


def compare_query(tile: ComparisonTile) -> CompareQuery:
    return CompareQuery.parse(QueryDict(tile.query.removeprefix("?")))
