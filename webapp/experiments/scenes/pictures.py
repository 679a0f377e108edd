"""Where the pictures of a scene experiment are. They count as samples: share links can leave them out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jobs.kinds.scenes.models import GeneratedScene, HeldOutView, SetPicture
from jobs.models import Artifact, Experiment
from webapp.experiments.detection.gallery import whole
from webapp.experiments.scenes.sets import set_of

VIEW_PARTS = ("input", "input_depth", "picture", "depth")


def poster(experiment: Experiment, key: str) -> bytes | None:
    """A drawn scene as its first camera sees it, by the scene's number."""
    number = whole(key)
    scene = GeneratedScene.objects.filter(experiment=experiment, number=number).first() if number else None
    if scene is None:
        return None
    found = Artifact.objects.filter(experiment=experiment, name=f"{scene.folder}/poster.jpg").first()
    if found is None:
        return None
    try:
        with found.file.open("rb") as content:
            return bytes(content.read())
    except FileNotFoundError:
        return None


def view(experiment: Experiment, key: str) -> bytes | None:
    """A part of a held-out view, "<index>-<part>@<step>": the step makes each state's address its own."""
    name, _, _ = key.partition("@")
    raw, _, part = name.partition("-")
    index = whole(raw)
    if index is None or part not in VIEW_PARTS:
        return None
    found = HeldOutView.objects.filter(experiment=experiment, index=index).values_list(part, flat=True).first()
    return None if found is None else bytes(found)


def posed(experiment: Experiment, key: str) -> bytes | None:
    """A picture of the experiment's own data set: "<scene>-<view>"."""
    data_set = set_of(experiment)
    return None if data_set is None else set_picture(data_set.pk, key)


def set_picture(data_set: int, key: str) -> bytes | None:
    scene, _, number = key.partition("-")
    index, camera = whole(scene), whole(number)
    if index is None or camera is None:
        return None
    kept = SetPicture.objects.filter(scene__data_set=data_set, scene__index=index, view=camera)
    found = kept.values_list("jpeg", flat=True).first()
    return None if found is None else bytes(found)


PARTS: Mapping[str, Callable[[Experiment, str], bytes | None]] = {"poster": poster, "view": view, "posed": posed}
