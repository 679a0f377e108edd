"""Held-out views beside what the auto-encoder renders of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import F
from django.http import QueryDict

from jobs.kinds.scenes.models import HeldOutView
from webapp.experiments.page import Page

ORDERS = {"": "By scene", "worst": "Worst first", "best": "Best first"}
MOST = 60  # an experiment keeps fewer


@dataclass(frozen=True, slots=True)
class Row:
    scene: str
    view: int
    step: int
    psnr: float
    depth_error: float | None
    input_url: str
    picture_url: str
    depth_url: str


def context(page: Page, query: QueryDict) -> dict[str, Any]:
    order = query.get("order", "")
    order = order if order in ORDERS else ""
    found = HeldOutView.objects.filter(experiment=page.experiment)
    by = {"worst": F("psnr").asc(), "best": F("psnr").desc()}.get(order, F("index").asc())
    fields = ("index", "scene", "view", "step", "psnr", "depth_error")
    rows = [_row(page, *values) for values in found.order_by(by).values_list(*fields)[:MOST]]
    urls = [(title, f"?order={name}" if name else "?", name == order) for name, title in ORDERS.items()]
    return {"rows": rows, "order_urls": urls if len(rows) > 1 else []}


def _row(page: Page, index: int, scene: str, view: int, step: int, psnr: float, depth_error: float | None) -> Row:
    urls = [picture_url(page, index, part, step) for part in ("input", "picture", "depth")]
    return Row(scene, view, step, psnr, depth_error, *urls)


def picture_url(page: Page, index: int, part: str, step: int) -> str:
    return page.url("picture", part="view", key=f"{index}-{part}@{step}")
