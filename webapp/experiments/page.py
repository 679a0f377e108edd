"""One experiment's page as one visitor may see it: the same views serve members and share links."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse

from jobs.models import Experiment
from webapp.experiments import access
from webapp.experiments.access import ExperimentAccess
from webapp.experiments.kind_pages import KindPage, Tab, kind_page

OVERVIEW = Tab("overview", "Overview")
LOG = Tab("log", "Log")
CONFIG = Tab("config", "Config")
FILES = Tab("files", "Files", has_count=True)


@dataclass(frozen=True, slots=True)
class Page:
    """Who looks at which experiment, and under which addresses: ``/experiments/<code>/`` or ``/s/<token>/``."""

    access: ExperimentAccess
    prefix: str  # "experiment" or "shared": how the names of its addresses begin
    key: dict[str, Any]  # {"code": UUID} or {"token": str}

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
    def shows_samples(self) -> bool:
        return self.access.shows_samples

    @property
    def tabs(self) -> list[Tab]:
        """Log lines may name hosts and paths, so a share link has no log; sample texts only when the link says so."""
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
        return f"experiments/{self.experiment.kind}/kpis.html"

    @property
    def socket_path(self) -> str:
        return f"/ws/s/{self.key['token']}/" if self.is_shared else f"/ws/experiments/{self.key['code']}/"


View = Callable[..., HttpResponseBase]


def _page(request: HttpRequest, visitor: ExperimentAccess) -> Page:
    if visitor.share is None:
        return Page(visitor, "experiment", {"code": visitor.experiment.code})
    match = request.resolver_match
    assert match is not None  # the request came through the URL conf
    return Page(visitor, "shared", {"token": match.kwargs["token"]})


def _with_page(view: View) -> Callable[..., Any]:
    @functools.wraps(view)
    def serve(request: HttpRequest, visitor: ExperimentAccess, **rest: Any) -> HttpResponseBase:
        return view(request, _page(request, visitor), **rest)

    return serve


def for_members(view: View) -> View:
    """Serve ``view(request, page, ...)`` to members of the experiment's team, under its code."""
    return access.for_members(_with_page(view))


def for_share_links(view: View) -> View:
    """Serve ``view(request, page, ...)`` to whoever holds a share link's token."""
    return access.for_share_links(_with_page(view))
