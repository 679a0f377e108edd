"""Frozen copies: everything a board's tiles draw, taken at one moment and kept as JSON.

``kept`` is {"content", "tiles": {id: {"title", "template", ...}}, "states": {experiment: live state},
"data": {experiment: {part: json}}, "series": {tile: json}}. The page draws it with the same templates and scripts as
the live board; nothing in it leads back to numbers that change.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction

from jobs.live import live_state
from jobs.models import Experiment
from webapp.boards.content import Content, TextTile
from webapp.boards.models import Board, FrozenBoard
from webapp.boards.services import Author, Refused
from webapp.boards.show import Shown, shown_tiles
from webapp.experiments.kind_pages import kind_page
from webapp.experiments.kind_tiles import without_addresses
from webapp.experiments.visibility import shared_view

Json = dict[str, Any]
MOST_BYTES = 16 * 2**20
MOST_FROZEN = 50  # of a board
# Of a live state what no tile draws, and what would count on after the moment.
LEFT_OUT: Json = {"log": [], "failures": [], "artifacts": [], "workers": [], "eta_seconds": None, "waiting": None}


def freeze(board: Board, author: Author) -> FrozenBoard:
    """Raises Refused for a board whose numbers are too many, or with too many copies."""
    if board.frozen.count() >= MOST_FROZEN:
        raise Refused(f"A board has at most {MOST_FROZEN} frozen copies. Delete one that is no longer needed.")
    with transaction.atomic():
        kept = numbers_of(board)
    size = len(json.dumps(kept, cls=DjangoJSONEncoder))
    if size > MOST_BYTES:
        raise Refused(
            f"The tiles' numbers take {size // 2**20} MB, and a copy holds {MOST_BYTES // 2**20}. "
            "Take tiles of large experiments off the board, or freeze it in two parts."
        )
    return FrozenBoard.objects.create(
        board=board, title=board.title, version=board.version, kept=kept, frozen_by_name=author.name[:120]
    )


def numbers_of(board: Board, *, shared: bool = False) -> Json:
    """What a copy made now keeps. ``shared``: as strangers may see it, without what share links leave out."""
    content = board.shown
    shown = shown_tiles(board.team, content, can_write=False)
    codes = {each.experiment for each in shown if each.template and each.experiment}
    experiments = Experiment.objects.filter(code__in=codes).select_related("team")
    states = {str(each.code): _state(each, shared=shared) for each in experiments}
    return {
        "content": content.as_json(),
        "tiles": {each.tile.id: _tile(each, shared=shared) for each in shown},
        "states": states,
        "data": {str(each.code): _data(each, shown) for each in experiments},
        "series": {each.tile.id: _series(each.series) for each in shown if each.series is not None},
    }


def _state(experiment: Experiment, *, shared: bool) -> Json:
    state = live_state(experiment)
    return (shared_view(state) if shared else state) | LEFT_OUT


def _tile(shown: Shown, *, shared: bool) -> Json:
    return {
        "title": shown.title,
        "template": shown.template,
        "context": without_addresses(shown.context, shared=shared),
        "script": shown.script,
        "styles": list(shown.styles),
        "imports": shown.imports,
        "colour": shown.colour,
        "sources": [[name, "", slot] for name, _, slot in shown.sources],
        "missing": shown.missing,
    }


def _data(experiment: Experiment, shown: Sequence[Shown]) -> Json:
    parts = {part for each in shown if each.experiment == str(experiment.code) for part in each.data}
    return {part: kind_page(experiment.kind).data[part](experiment) for part in sorted(parts)}


def _series(series: Json) -> Json:
    """Runs without the addresses of their page and of more data."""
    return series | {"runs": [run | {"url": "", "data": ""} for run in series["runs"]]}


def thawed(kept: Json) -> list[Shown]:
    """The tiles of a copy, for the page."""
    content = Content.model_validate(kept["content"])
    made = []
    for tile in content.tiles:
        if isinstance(tile, TextTile):
            made.append(Shown(tile, tile.title or "Text"))
            continue
        stored = kept["tiles"][tile.id]
        made.append(
            Shown(
                tile,
                stored["title"],
                stored["template"],
                stored["context"],
                stored["script"],
                tuple(stored["styles"]),
                stored["colour"],
                tuple((name, url, slot) for name, url, slot in stored["sources"]),
                series=kept["series"].get(tile.id),
                missing=stored["missing"],
                imports=stored.get("imports", ""),  # copies made before there were any have none
            )
        )
    return made


def numbers(kept: Json) -> Json:
    """What the copy's scripts read."""
    return {name: kept[name] for name in ("states", "data", "series")}
