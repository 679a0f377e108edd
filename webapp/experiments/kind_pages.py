"""What a kind adds to the experiment page: its own tabs, template parts, figures' data and downloads.

A kind's part is the object ``PAGE`` in ``webapp/experiments/<kind>/page.py``, and its templates are
``templates/experiments/<kind>/overview.html`` plus one per tab. What it adds to the compare page is the object
``COMPARISON`` in ``compare.py`` beside it, with the template ``compare.html``. What of both can stand on a board are
their ``tiles``: see kind_tiles. A new kind adds folders and edits nothing here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from django.http import HttpRequest

from jobs.models import Experiment
from webapp.experiments.kind_tiles import ComparisonTile, Tile
from webapp.experiments.offline.content import Offline

if TYPE_CHECKING:
    from engine.cost import Prices
    from webapp.experiments.compare.query import CompareQuery, Line
    from webapp.experiments.page import Page

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tab:
    name: str  # in the address
    title: str
    has_samples: bool = False  # hidden under share links that leave sample texts out
    has_count: bool = False  # a number beside the title, which the page's script fills in
    for_writers: bool = False  # hidden from those who may only read


@dataclass(frozen=True, slots=True)
class Download:
    """A file made from rows while it is sent, in pieces, so that a million samples need no memory."""

    title: str
    content_type: str
    stream: Callable[[Experiment], AsyncIterator[str]]
    has_samples: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure of the overview that can be shared alone: the section of that id in overview.html, which must stand in
    ``{% if not only or only == "<name>" %}``, and what of the experiment it is drawn from. Nothing else goes out."""

    title: str
    state: frozenset[str]  # names in the kind's part of the live state
    kpis: frozenset[str] = frozenset()  # of its key figures those that the chart writes
    data: Mapping[str, frozenset[str]] = field(default_factory=dict)  # of KindPage.data: what of each
    downloads: frozenset[str] = frozenset()  # names in KindPage.downloads
    metrics: bool = False  # whether it draws what workers measured over time

    def of_data(self, name: str, found: Json) -> Json:
        return {key: value for key, value in found.items() if key in self.data[name]}


class KindPage(ABC):
    tabs: ClassVar[Sequence[Tab]]
    downloads: ClassVar[Mapping[str, Download]]
    # Figures' data that takes longer than a page should: the page's script asks for each by its name.
    data: ClassVar[Mapping[str, Callable[[Experiment], Json]]] = {}
    # JSON of one thing by part and key; shown only to those who may see samples.
    items: ClassVar[Mapping[str, Callable[[Page, str], Json | None]]] = {}
    charts: ClassVar[Mapping[str, Chart]] = {}
    # JPEGs by part and key; shown only to those who may see samples.
    pictures: ClassVar[Mapping[str, Callable[[Experiment, str], bytes | None]]] = {}
    # Of the page's actions those that not every kind has: "more" (draw more samples), "regrade", "score", "audit".
    actions: ClassVar[frozenset[str]] = frozenset()
    tiles: ClassVar[Sequence[Tile]] = ()
    # How names of artifacts end that hold numbers or pixels alone: anonymous links give them as they are.
    nameless: ClassVar[tuple[str, ...]] = ()
    samples_are: ClassVar[str] = "sample texts"  # what a share link may leave out, in words; empty: nothing

    def spelled(self, experiment: Experiment, setting: str) -> str | None:
        """What people call the value of ``setting``, where that is not how the Spec writes it."""
        return None

    def charged(self, experiments: Sequence[Experiment], prices: Prices) -> Mapping[int, float]:
        """US$ that services outside this installation charged for each experiment, by its id; in a fixed number of
        queries. What its own workers cost is known from their time."""
        return {}

    def offline(self, experiment: Experiment, state: Json, data: Json) -> Offline:
        """What an offline copy shows, from the live state and the figures' data as this visitor sees them."""
        return Offline()

    def size_of(self, experiment: Experiment, download: str) -> int:
        """About how many bytes a download has, without making it."""
        return 0

    @abstractmethod
    def context(self, request: HttpRequest, page: Page, tab: str) -> dict[str, Any]:
        """What the kind's template of ``tab`` needs beside the common context."""


class KindComparison(ABC):
    tiles: ClassVar[Sequence[ComparisonTile]] = ()
    intro_template: ClassVar[str] = ""  # shown while nothing is chosen, with what ``intro`` gives

    def intro(self) -> Json:
        return {}

    @abstractmethod
    def context(self, experiments: Sequence[Experiment], lines: Sequence[Line], query: CompareQuery) -> Json:
        """What the kind's compare.html needs. "series" in it is JSON that the page's script also asks for alone."""


def kind_page(name: str) -> KindPage:
    page: KindPage = import_module(f"webapp.experiments.{name}.page").PAGE
    return page


def kind_comparison(name: str) -> KindComparison:
    comparison: KindComparison = import_module(f"webapp.experiments.{name}.compare").COMPARISON
    return comparison
