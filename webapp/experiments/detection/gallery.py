"""The prediction gallery: which predictions an address asks for, a page of them, and one in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from django.db.models import QuerySet
from django.http import QueryDict
from django.utils.http import urlencode

from jobs.kinds.detection.models import Prediction
from jobs.models import Experiment
from webapp.experiments.detection.boxes import Drawn, Tile, prediction_tile
from webapp.experiments.detection.methods import Method
from webapp.experiments.page import Page

PAGE = 24  # tiles
SCORE = 0.5
CHOSEN = {"": "Worst and random images", "random": "Random images", "worst": "Worst images"}


@dataclass(frozen=True, slots=True)
class Filters:
    """What is absent or nonsense in an address gets its default: old links show something, never an error."""

    method: str = ""  # a method's key
    seed: int | None = None
    angle: float | None = None
    chosen: str = ""
    score: float = SCORE
    page: int = 1
    at: int | None = None  # the prediction shown in full

    @classmethod
    def read(cls, query: QueryDict, methods: Sequence[Method]) -> Filters:
        method, chosen = query.get("method", ""), query.get("chosen", "")
        score = number(query.get("score", ""))
        return cls(
            method=method if method in {each.key for each in methods} else "",
            seed=whole(query.get("seed", "")),
            angle=number(query.get("angle", "")),
            chosen=chosen if chosen in CHOSEN else "",
            score=score if score is not None and 0 <= score <= 1 else SCORE,
            page=max(1, whole(query.get("page", "")) or 1),
            at=whole(query.get("at", "")),
        )

    def url(self, **changes: Any) -> str:
        """The address's query with some values changed; defaults are left out."""
        values = asdict(replace(self, **changes))
        kept = {name: value for name, value in values.items() if value != getattr(_DEFAULT, name)}
        return f"?{urlencode(kept)}"


_DEFAULT = Filters()


def whole(raw: str) -> int | None:
    """A whole number that fits the database's integers, else None."""
    return int(raw) if raw.isascii() and raw.isdigit() and len(raw) <= 18 else None


def number(raw: str) -> float | None:
    """A plain decimal number, else None."""
    left, _, right = raw.partition(".")
    digits = left + right
    return float(raw) if raw.isascii() and digits.isdigit() and len(raw) <= 12 else None


def gallery(page: Page, filters: Filters, methods: Sequence[Method], classes: Sequence[str]) -> dict[str, Any]:
    """A page of tiles, worst first, and the prediction in full."""
    experiment = page.experiment
    found = _matching(experiment, filters, methods)
    count = found.count()
    pages = max(1, -(-count // PAGE))
    number_of_page = min(filters.page, pages)
    start = (number_of_page - 1) * PAGE
    by_run = {index: method for method in methods for index in method.runs}
    rows = list(found.select_related("run", "picture").defer("picture__jpeg")[start : start + PAGE])
    items = [_item(page, row, filters, by_run, classes) for row in rows]
    shown = _shown(experiment, filters)
    return {
        "items": items,
        "count": count,
        "pages": pages,
        "page_number": number_of_page,
        "earlier_url": filters.url(page=number_of_page - 1, at=None) if number_of_page > 1 else "",
        "next_url": filters.url(page=number_of_page + 1, at=None) if number_of_page < pages else "",
        "shown": _in_full(page, shown, filters, by_run, classes, rows) if shown else None,
    }


def _matching(experiment: Experiment, filters: Filters, methods: Sequence[Method]) -> QuerySet[Prediction]:
    found = Prediction.objects.filter(experiment=experiment)
    if filters.method or filters.seed is not None:
        chosen = [each for each in methods if filters.method in ("", each.key)]
        runs = [
            index
            for method in chosen
            for index, seed in zip(method.runs, method.seeds, strict=True)
            if filters.seed in (None, seed)
        ]
        found = found.filter(run__index__in=runs, run__experiment=experiment)
    if filters.angle is not None:
        found = found.filter(angle=filters.angle)
    if filters.chosen:
        found = found.filter(chosen=filters.chosen)
    return found.order_by("-badness", "pk")


def _shown(experiment: Experiment, filters: Filters) -> Prediction | None:
    if filters.at is None:
        return None
    return (
        Prediction.objects.filter(experiment=experiment, pk=filters.at)
        .select_related("run", "picture")
        .defer("picture__jpeg")
        .first()
    )


@dataclass(frozen=True, slots=True)
class Item:
    prediction: Prediction
    method: Method | None
    tile: Tile
    url: str
    missed: int  # objects that nothing of the asked score found
    wrong: int  # found where nothing is


def _item(page: Page, row: Prediction, filters: Filters, by_run: Mapping[int, Method], classes: Sequence[str]) -> Item:
    tile = prediction_tile(row, classes, picture_url(page, row), score=filters.score)
    return Item(
        row,
        by_run.get(row.run.index),
        tile,
        filters.url(at=row.pk),
        sum(each.look == "missed" for each in tile.truth),
        sum(each.look == "wrong" and (each.score or 0) >= filters.score for each in tile.found),
    )


def picture_url(page: Page, row: Prediction) -> str:
    return page.url("picture", part="prediction", key=str(row.picture.code))


def _in_full(
    page: Page,
    shown: Prediction,
    filters: Filters,
    by_run: Mapping[int, Method],
    classes: Sequence[str],
    rows: Sequence[Prediction],
) -> dict[str, Any]:
    """The prediction large, its boxes as a table, its neighbours in the list, and other methods on the same image."""
    item = _item(page, shown, filters, by_run, classes)
    same = (
        Prediction.objects.filter(experiment=page.experiment, image=shown.image, angle=shown.angle)
        .exclude(pk=shown.pk)
        .select_related("run", "picture")
        .defer("picture__jpeg")
        .order_by("run__index")[:PAGE]
    )
    here = next((i for i, row in enumerate(rows) if row.pk == shown.pk), None)
    before = rows[here - 1] if here else None
    after = rows[here + 1] if here is not None and here + 1 < len(rows) else None
    return {
        "item": item,
        "rows": _table(item.tile),
        "others": [_item(page, row, filters, by_run, classes) for row in same],
        "previous_url": filters.url(at=before.pk) if before else "",
        "following_url": filters.url(at=after.pk) if after else "",
        "close_url": filters.url(at=None),
    }


def _table(tile: Tile) -> list[Drawn]:
    """Found boxes best first, then the objects: the page shows those that nothing found from the asked score on."""
    return [*tile.found, *(each for each in tile.truth if each.look != "ignored")]
