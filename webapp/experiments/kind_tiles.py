"""Tiles: the panels of a kind that can stand alone, on a board, live or frozen at a point in time.

A tile is a template, what the template needs as JSON, and a script that draws it. The same template and the same
script's functions make the panel of the experiment's own page. A kind lists its tiles as ``PAGE.tiles`` and those of
its comparisons as ``COMPARISON.tiles``; boards read nothing else of it, so a new kind edits nothing here.

The script is a module with ``export const tiles = {name(panel, live) {...}}``. ``panel`` is the drawn template's first
element. ``live`` has:

- ``onState(view)``: ``view(state)`` now and after each change, with the experiment's live state (jobs.live);
- ``data(part)``: a promise of the part of ``PAGE.data`` called ``part``; the tile names the parts in ``Tile.data``;
- ``series`` and ``onSeries(view)``: of a comparison, what ``KindComparison.context`` gave as "series";
- ``view``: ``get(key)`` and ``set(key, value)`` of what a reader chose in the tile (static/webapp/js/dom.js, viewOf);
- ``colour``: the experiment's slot, 1 to 7; ``tile``: the tile's name.

On a frozen copy all of it comes from the copy: the context, the state, the data and the series.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.models import Experiment

if TYPE_CHECKING:
    from webapp.experiments.page import Page

Json = dict[str, Any]


def always(experiment: Experiment) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Tile:
    """``width`` and ``height`` are what it takes on a board at first, in cells of the grid (webapp.boards.content)."""

    name: str  # in a board's record, so it never changes
    title: str
    template: str  # gets ``context``, "colour", and "tile": True; ids are for the experiment's own page alone
    script: str  # a static path
    context: Callable[[Page], Json] = lambda page: {}
    width: int = 6
    height: int = 9
    data: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()  # static paths
    imports: str = ""  # a template for the page's head, before its first module: an import map
    fits: Callable[[Experiment], bool] = always  # whether this experiment has it


@dataclass(frozen=True, slots=True)
class ComparisonTile:
    """A panel of a comparison; ``context`` picks out of what KindComparison.context gave, as JSON."""

    name: str
    title: str
    template: str
    script: str
    context: Callable[[Json], Json] = lambda found: {}
    width: int = 12
    height: int = 11
    styles: tuple[str, ...] = ()
    fits: Callable[[Json], bool] = lambda found: True


def without_addresses(context: Json, *, shared: bool) -> Json:
    """For frozen copies: links and downloads (``..._url``) would lead to what has changed since. What is at a
    ``..._pattern`` never changes, so members' copies keep it; strangers have no access to either."""
    gone = ("_url", "_pattern") if shared else ("_url",)
    return {name: "" if name.endswith(gone) else value for name, value in context.items()}
