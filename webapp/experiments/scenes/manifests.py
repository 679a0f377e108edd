"""A scene's manifest as the viewer reads it, with the addresses that this visitor may use."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from jobs.kinds.scenes.models import GeneratedScene
from jobs.kinds.scenes.spec import ScenesSpec
from jobs.models import Artifact
from webapp.experiments.detection.gallery import whole
from webapp.experiments.page import Page
from webapp.experiments.scenes.gallery import artifacts_of, files_of, poster_url

VERSION = 1  # engine.scenes.volume.MANIFEST_VERSION, without torch in the web process
VOLUME, MAP = "volume.rgba.gz", "map.png"


def manifest(page: Page, key: str) -> dict[str, Any] | None:
    """The manifest of scene ``key`` on its experiment's page. None for a scene that is not there or of which nothing
    can be seen yet."""
    number = whole(key)
    scene = GeneratedScene.objects.filter(experiment=page.experiment, number=number).first() if number else None
    if scene is None:
        return None
    files = artifacts_of(scene)
    return manifest_of(scene, files, lambda file: page.url("artifact", artifact=file.code), poster_url(page, scene))


def manifest_of(
    scene: GeneratedScene, files: Iterable[Artifact], address: Callable[[Artifact], str], poster: str
) -> dict[str, Any] | None:
    """The manifest with those of the scene's ``files`` that the visitor may have, also while it is being drawn: then
    ``volume`` is its newest preview. None while nothing can be seen."""
    found = {file.name: address(file) for file in files}

    def url(name: str) -> str:
        return found.get(name) or found.get(f"{scene.folder}/{name}") or ""

    steps = [{"label": each["label"], "volume": url(each["name"])} for each in scene.previews if url(each["name"])]
    volume = url(VOLUME) or (steps[-1]["volume"] if steps else "")
    if not volume:
        return None
    values = scene.values
    return {
        "version": VERSION,
        "name": f"Scene {scene.number}",
        "grid": values.get("grid") or ScenesSpec.model_validate(scene.experiment.spec).voxels,
        "voxel_metres": values.get("voxel_metres"),
        "volume": volume,
        "poster": poster,
        "sky": values.get("sky", [120, 140, 170]),
        "cameras": values.get("cameras", []),
        "path": values.get("path", {"seconds": 8, "keys": []}),
        "steps": steps,
        "map": url(MAP),
        "downloads": [{"label": label, "url": url(name)} for label, name in files_of(scene) if url(name)],
    }
