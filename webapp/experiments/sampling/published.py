"""Published curves that a reader can lay over a team's own, as the page's script draws them."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.utils.text import slugify

from engine.coverage import log_spaced
from engine.coverage.published import PUBLISHED_FITS, PUBLISHED_POINTS
from engine.serial import as_json

Json = dict[str, Any]
PAPER = "Brown et al. 2024"
LARGEST = 10_000  # samples per problem in the paper's curves


@cache
def published_curves() -> list[Json]:
    """[{"key", "title", "label", "task", "source", "k", "coverage", "is_law"}]: fitted laws, and stated values."""
    ks = log_spaced(LARGEST)
    laws = [
        _curve(
            fit.model, fit.task, "law", ks.tolist(), as_json(fit.coverage(ks)), f"{PAPER}, the law fitted in Figure 5"
        )
        for fit in PUBLISHED_FITS
    ]
    stated: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for point in PUBLISHED_POINTS:
        stated.setdefault((point.model, point.task), []).append((point.k, point.coverage))
    points = []
    for (model, task), values in stated.items():
        ks_stated, coverage = zip(*sorted(values), strict=True)
        source = f"{PAPER}, values in the text"
        points.append(_curve(model, task, "points", list(ks_stated), list(coverage), source))
    return sorted(laws + points, key=lambda each: (each["task"], each["title"]))


def _curve(model: str, task: str, form: str, ks: list[int], coverage: list[float], source: str) -> Json:
    return {
        "key": slugify(f"{model}-{task}-{form}"),
        "title": f"{model}, {task}" + (" (values in the text)" if form == "points" else ""),
        "label": f"{model}, {task}",
        "task": task,
        "source": source,
        "is_law": form == "law",
        "k": ks,
        "coverage": coverage,
    }
