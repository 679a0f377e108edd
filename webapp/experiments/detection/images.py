"""The images of the data set with their labels. Rendered shapes are drawn anew on each worker and kept nowhere, so of
them the browser has the test images that predictions show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from django.db.models import Min
from django.http import QueryDict
from django.utils.http import urlencode

from jobs.kinds.detection.models import Picture, Prediction, SetImage
from jobs.kinds.detection.store import data_set_of
from jobs.models import Experiment
from webapp.experiments.detection.boxes import Tile, labels_tile
from webapp.experiments.detection.gallery import whole
from webapp.experiments.page import Page

PAGE = 36  # images
SPLITS = {"": "All parts", "train": "Train", "val": "Validation", "test": "Test"}
ORDERS = {"": "By number", "most": "Most objects first", "fewest": "Fewest objects first"}
LONGEST_SEARCH = 200


@dataclass(frozen=True, slots=True)
class ImageFilters:
    split: str = ""
    order: str = ""
    q: str = ""  # part of the file's name
    page: int = 1

    @classmethod
    def read(cls, query: QueryDict) -> ImageFilters:
        split, order = query.get("split", ""), query.get("order", "")
        return cls(
            split=split if split in SPLITS else "",
            order=order if order in ORDERS else "",
            q=query.get("q", "").replace("\0", "").strip()[:LONGEST_SEARCH],
            page=max(1, whole(query.get("page", "")) or 1),
        )

    def url(self, **changes: Any) -> str:
        values = asdict(replace(self, **changes))
        return "?" + urlencode({name: value for name, value in values.items() if value != getattr(_DEFAULT, name)})


_DEFAULT = ImageFilters()


@dataclass(frozen=True, slots=True)
class Shown:
    tile: Tile
    name: str
    note: str


def browse(page: Page, filters: ImageFilters, classes: Sequence[str]) -> dict[str, Any]:
    found = data_set_of(page.experiment)
    if found is None:
        return _rendered(page, filters, classes)
    images = SetImage.objects.filter(data_set=found)
    if filters.split:
        images = images.filter(split=filters.split)
    if filters.q:
        images = images.filter(file__icontains=filters.q)
    count = images.count()
    order = {"most": ("-objects_count", "index"), "fewest": ("objects_count", "index")}.get(filters.order, ("index",))
    start, paging = _paging(filters, count)
    rows = images.order_by(*order).defer("jpeg")[start : start + PAGE]
    items = [
        Shown(
            labels_tile(
                row.labels,
                found.classes,
                page.url("picture", part="set", key=str(row.index)),
                (row.width, row.height),
                row.file,
            ),
            row.file,
            f"{row.objects_count} object{'' if row.objects_count == 1 else 's'}, {row.split}",
        )
        for row in rows
    ]
    whole_set = found.counts.get("images", count)
    return {"items": items, "count": count, "whole_set": whole_set, "kept": found.counts.get("shown"), **paging}


def _rendered(page: Page, filters: ImageFilters, classes: Sequence[str]) -> dict[str, Any]:
    """Test images as they stand upright, or at the smallest angle, with the truth that a prediction keeps."""
    pictures = Picture.objects.filter(experiment=page.experiment)
    first = pictures.order_by("angle").values_list("angle", flat=True).first()
    if first is None:
        return {"items": [], "count": 0, "rendered": True, **_paging(filters, 0)[1]}
    pictures = pictures.filter(angle=first)
    count = pictures.count()
    start, paging = _paging(filters, count)
    rows = list(pictures.order_by("image").defer("jpeg")[start : start + PAGE])
    truths = _truths(page.experiment, first, [row.image for row in rows])
    items = []
    for row in rows:
        file, values = truths.get(row.image, (f"image {row.image}", {}))
        labels = [each[:5] for each in values.get("truth", [])]
        size = float(values.get("size") or 1)
        tile = labels_tile(
            labels, classes, page.url("picture", part="prediction", key=str(row.code)), (size, size), file
        )
        items.append(Shown(tile, file, f"{len(labels)} object{'' if len(labels) == 1 else 's'}, test"))
    return {"items": items, "count": count, "rendered": True, **paging}


def _truths(experiment: Experiment, angle: float, images: Sequence[int]) -> dict[int, tuple[str, dict[str, Any]]]:
    """File and values of one prediction of each image; all runs know the same truth."""
    of_images = Prediction.objects.filter(experiment=experiment, angle=angle, image__in=images)
    first = of_images.values("image").annotate(first=Min("pk")).values("first")
    rows = Prediction.objects.filter(pk__in=first).values_list("image", "file", "values")
    return {image: (file, values) for image, file, values in rows}


def _paging(filters: ImageFilters, count: int) -> tuple[int, dict[str, Any]]:
    pages = max(1, -(-count // PAGE))
    number = min(filters.page, pages)
    return (number - 1) * PAGE, {
        "pages": pages,
        "page_number": number,
        "earlier_url": filters.url(page=number - 1) if number > 1 else "",
        "next_url": filters.url(page=number + 1) if number < pages else "",
    }
