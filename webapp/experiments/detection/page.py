"""The detection kind's part of the experiment page."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from webapp.experiments.kind_pages import KindPage
from webapp.experiments.page import Page


class DetectionPage(KindPage):
    tabs = ()
    downloads = {}

    def context(self, request: HttpRequest, page: Page, tab: str) -> dict[str, Any]:
        return {}


PAGE = DetectionPage()
