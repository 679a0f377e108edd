"""A board's tiles as its page shows them: templates with their context, and the addresses that keep them live.

The queries are one for all experiments, plus what each tile's own context takes; none of them grows with the results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.templatetags.static import static
from django.urls import reverse

from jobs.models import Experiment
from webapp.accounts.models import Team
from webapp.boards.content import AnyTile, ComparisonTile, Content, ExperimentTile, TextTile
from webapp.boards.markdown import rendered
from webapp.boards.services import codes_of, compare_query
from webapp.experiments.access import ExperimentAccess
from webapp.experiments.compare.query import lines_of
from webapp.experiments.kind_pages import kind_comparison, kind_page
from webapp.experiments.page import Page

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shown:
    """One tile on the page. Without a template it says ``missing`` in place of the panel."""

    tile: AnyTile
    title: str
    template: str = ""
    context: Json = field(default_factory=dict)  # JSON: a frozen copy keeps it
    script: str = ""  # a static path
    styles: tuple[str, ...] = ()
    colour: int = 8
    sources: tuple[tuple[str, str, int], ...] = ()  # of what it shows: name, address and colour
    live_url: str = ""
    socket_path: str = ""
    data_url: str = ""  # with NAME for the part's name
    series_url: str = ""
    series: Json | None = None
    missing: str = ""
    data: tuple[str, ...] = ()
    imports: str = ""  # a template for the head of the page

    @property
    def name(self) -> str:
        return getattr(self.tile, "name", "")

    @property
    def view(self) -> str:
        return getattr(self.tile, "view", "")

    @property
    def html(self) -> str:
        return rendered(self.tile.text) if isinstance(self.tile, TextTile) else ""

    @property
    def script_url(self) -> str:
        return static(self.script) if self.script else ""

    @property
    def experiment(self) -> str:
        return str(self.tile.experiment) if isinstance(self.tile, ExperimentTile) else ""

    @property
    def label(self) -> str:
        """The tile's name for those who do not see it."""
        return ", ".join([self.title, *(name for name, _, _ in self.sources)][:3])


def heads_of(tiles: Sequence[Shown]) -> Json:
    """What the head of a page with these tiles loads."""
    return {
        "styles": sorted({style for each in tiles for style in each.styles}),
        "imports": sorted({each.imports for each in tiles if each.imports}),
    }


def shown_tiles(team: Team, content: Content, *, can_write: bool) -> list[Shown]:
    codes = {code for tile in content.tiles for code in codes_of(tile)}
    rows = Experiment.objects.filter(team=team, code__in=codes).select_related("team", "owner") if codes else []
    experiments = {each.code: each for each in rows}
    comparisons: dict[str, Json] = {}
    return [_shown(tile, team, experiments, comparisons, can_write=can_write) for tile in content.tiles]


def _shown(
    tile: AnyTile, team: Team, experiments: Mapping[UUID, Experiment], comparisons: dict[str, Json], *, can_write: bool
) -> Shown:
    if isinstance(tile, TextTile):
        return Shown(tile, tile.title or "Text", context={"text": tile.text})
    if isinstance(tile, ExperimentTile):
        experiment = experiments.get(tile.experiment)
        return _gone(tile) if experiment is None else _of_experiment(tile, experiment, can_write=can_write)
    return _of_comparison(tile, team, experiments, comparisons)


def _gone(tile: AnyTile) -> Shown:
    return Shown(tile, tile.title or "Deleted", missing="The experiment was deleted. Remove the tile, or pin another.")


def page_of(experiment: Experiment, *, can_write: bool = False) -> Page:
    return Page(ExperimentAccess(experiment, can_write=can_write), "experiment", {"code": experiment.code})


def _of_experiment(tile: ExperimentTile, experiment: Experiment, *, can_write: bool) -> Shown:
    known = next((each for each in kind_page(experiment.kind).tiles if each.name == tile.name), None)
    if known is None:
        return Shown(tile, tile.title or tile.name, missing="This version of Canopy has no such tile.")
    page = page_of(experiment, can_write=can_write)
    return Shown(
        tile,
        tile.title or known.title,
        known.template,
        known.context(page),
        known.script,
        known.styles,
        experiment.colour_slot,
        ((experiment.name, page.url(), experiment.colour_slot),),
        live_url=page.url("live"),
        socket_path=page.socket_path,
        data_url=page.url("data", part="NAME"),
        data=known.data,
        imports=known.imports,
    )


def _of_comparison(
    tile: ComparisonTile, team: Team, experiments: Mapping[UUID, Experiment], comparisons: dict[str, Json]
) -> Shown:
    query = compare_query(tile)
    found = [experiments[code] for code in query.codes if code in experiments]
    if not found:
        return _gone(tile)
    same_kind = [each for each in found if each.kind == found[0].kind]
    comparison = kind_comparison(same_kind[0].kind)
    known = next((each for each in comparison.tiles if each.name == tile.name), None)
    if known is None:
        return Shown(tile, tile.title or tile.name, missing="This version of Canopy has no such tile.")
    lines = lines_of(same_kind)
    if tile.query not in comparisons:
        comparisons[tile.query] = comparison.context(same_kind, lines, query)
    everything = comparisons[tile.query]
    chips = [
        {"experiment": {"name": each.name, "code": str(each.code)}, "line": {"slot": line.slot, "dash": line.dash}}
        for each, line in zip(same_kind, lines, strict=True)
    ]
    page_url = reverse("compare", args=[team.code]) + query.url()
    sources = [
        (each.name, reverse("experiment", args=[each.code]), line.slot)
        for each, line in zip(same_kind, lines, strict=True)
    ]
    return Shown(
        tile,
        tile.title or known.title,
        known.template,
        {"chips": chips, "baseline": {"name": same_kind[0].name}, **known.context(everything)},
        known.script,
        known.styles,
        sources=tuple(sources),
        series_url=page_url if any(not each.has_ended for each in same_kind) else "",
        series=everything["series"],
    )
