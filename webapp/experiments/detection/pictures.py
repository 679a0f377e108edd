"""Where the pictures of a detection experiment are. They count as samples: share links can leave them out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

from jobs.kinds.detection.models import Picture, SetImage, TriedPicture
from jobs.kinds.detection.store import data_set_of
from jobs.models import Experiment
from webapp.experiments.detection.gallery import number, whole


def prediction(experiment: Experiment, key: str) -> bytes | None:
    """A test image as the detectors saw it, by its code."""
    code = _uuid(key)
    if code is None:
        return None
    found = Picture.objects.filter(experiment=experiment, code=code).values_list("jpeg", flat=True).first()
    return None if found is None else bytes(found)


def set_image(experiment: Experiment, key: str) -> bytes | None:
    """An image of the experiment's data set, by its number."""
    index, data_set = whole(key), data_set_of(experiment)
    if index is None or data_set is None:
        return None
    found = SetImage.objects.filter(data_set=data_set, index=index).values_list("jpeg", flat=True).first()
    return None if found is None else bytes(found)


def tried(experiment: Experiment, key: str) -> bytes | None:
    """A tried image at an angle: "<code>@<degrees>"."""
    name, _, raw = key.partition("@")
    code, angle = _uuid(name), number(raw)
    if code is None or angle is None:
        return None
    kept = TriedPicture.objects.filter(tried__experiment=experiment, tried__code=code, angle=angle)
    found = kept.values_list("jpeg", flat=True).first()
    return None if found is None else bytes(found)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


PARTS: Mapping[str, Callable[[Experiment, str], bytes | None]] = {
    "prediction": prediction,
    "set": set_image,
    "tried": tried,
}
