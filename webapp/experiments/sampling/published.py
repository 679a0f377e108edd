"""Published curves that a reader can lay over a team's own, as the page's script draws them."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.utils.text import slugify

from engine.tasks import TASKS, PublishedCurve, published_curves

Json = dict[str, Any]


@cache
def overlays() -> list[Json]:
    """[{"key", "title", "label", "source", "is_law", "k", "coverage"}] of all tasks: fitted laws, and points read off
    figures or stated in the text."""
    return [_overlay(curve, task.title) for task in TASKS.values() for curve in published_curves(task.name)]


def _overlay(curve: PublishedCurve, task: str) -> Json:
    vote = " majority vote" if curve.kind == "majority" else ""
    basis = {"fit": "law", "figure": "points", "text": "values in the text"}[curve.basis]
    return {
        "key": slugify(f"{curve.model}-{curve.task}-{curve.kind}-{curve.basis}"),
        "title": f"{task}: {curve.model}{vote} ({basis})",
        "label": f"{curve.model}{vote}",
        "source": curve.source,
        "is_law": curve.basis == "fit",
        "k": list(curve.k),
        "coverage": list(curve.values),
    }
