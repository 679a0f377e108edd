"""One experiment's page as one visitor may see it: the same views serve members and share links."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse

from jobs.models import Experiment
from webapp.experiments import access
from webapp.experiments.access import ExperimentAccess
from webapp.experiments.frozen import frozen_experiment
from webapp.experiments.kind_pages import Chart, KindPage, Tab, kind_page
from webapp.sharing.access import Visit, opens

OVERVIEW = Tab("overview", "Overview")
LOG = Tab("log", "Log")
CONFIG = Tab("config", "Config")
FILES = Tab("files", "Files", has_count=True)
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """Who looks at which experiment, and under which addresses: ``/experiments/<code>/`` or ``/s/<token>/``.

    A share link may open one chart of it only (``chart``), and may show it as it was (``frozen``: what
    webapp.experiments.frozen kept).
    """

    access: ExperimentAccess
    prefix: str  # "experiment" or "shared": how the names of its addresses begin
    key: dict[str, Any]  # {"code": UUID} or {"token": str}
    visit: Visit | None = None
    chart: str = ""
    frozen: Json = field(default_factory=dict)

    @property
    def experiment(self) -> Experiment:
        return self.access.experiment

    @property
    def kind(self) -> KindPage:
        return kind_page(self.experiment.kind)

    @property
    def is_shared(self) -> bool:
        return self.access.share is not None

    @property
    def is_anonymous(self) -> bool:
        return self.access.share is not None and self.access.share.anonymous

    @property
    def only(self) -> Chart | None:
        """The one chart that the visitor may see; None: the whole page."""
        return self.kind.charts[self.chart] if self.chart else None

    @property
    def shows_samples(self) -> bool:
        """A snapshot and a chart hold none; from a frame no address leads to the pages that show them."""
        return self.access.shows_samples and not self.frozen and not self.chart and not self.is_embedded

    @property
    def is_embedded(self) -> bool:
        return self.visit is not None and self.visit.embedded

    @property
    def tabs(self) -> list[Tab]:
        """Log lines may name hosts and paths, so a share link has no log; sample texts only when the link says so.
        A snapshot has the tabs that are drawn from what it keeps."""
        if self.chart:
            return [OVERVIEW]
        if self.frozen:
            return [OVERVIEW, CONFIG, FILES]
        own = [
            tab
            for tab in self.kind.tabs
            if (self.shows_samples or not tab.has_samples) and (self.access.can_write or not tab.for_writers)
        ]
        return [OVERVIEW, *own, *([] if self.is_shared else [LOG]), CONFIG, FILES]

    def url(self, name: str = "", /, **extra: Any) -> str:
        """The address called ``experiment[-name]`` or ``shared[-name]``."""
        return reverse(f"{self.prefix}-{name}" if name else self.prefix, kwargs=self.key | extra)

    def tab_url(self, tab: str) -> str:
        return self.url() if tab == OVERVIEW.name else self.url("tab", tab=tab)

    @property
    def kpis_template(self) -> str:
        return "" if self.chart else f"experiments/{self.experiment.kind}/kpis.html"

    @property
    def socket_path(self) -> str:
        return f"/ws/s/{self.key['token']}/" if self.is_shared else f"/ws/experiments/{self.key['code']}/"


View = Callable[..., HttpResponseBase]


def shared_page(visit: Visit) -> Page:
    """The page that a link to an experiment, or to a chart of it, opens."""
    experiment, frozen = visit.link.experiment, visit.frozen or {}
    assert experiment is not None  # both targets have one
    return Page(
        ExperimentAccess(frozen_experiment(experiment, frozen) if frozen else experiment, share=visit.link),
        "shared",
        {"token": visit.token},
        visit,
        str(visit.link.scope.get("chart", "")),
        frozen,
    )


def for_members(view: View) -> View:
    """Serve ``view(request, page, ...)`` to members of the experiment's team, under its code."""

    @functools.wraps(view)
    def serve(request: HttpRequest, visitor: ExperimentAccess, **rest: Any) -> HttpResponseBase:
        return view(request, Page(visitor, "experiment", {"code": visitor.experiment.code}), **rest)

    return access.for_members(serve)


def for_share_links(view: View) -> View:
    """Serve ``view(request, page, ...)`` to whoever holds a link to an experiment or to one of its charts."""

    @functools.wraps(view)
    def serve(request: HttpRequest, visit: Visit, **rest: Any) -> HttpResponseBase:
        return view(request, shared_page(visit), **rest)

    return opens("experiment", "chart")(serve)
