"""A scene's manifest as the viewer reads it, with the addresses that this visitor may use."""

from __future__ import annotations

from typing import Any

from jobs.kinds.scenes.models import GeneratedScene
from jobs.kinds.scenes.spec import ScenesSpec
from jobs.models import Artifact
from webapp.experiments.detection.gallery import whole
from webapp.experiments.page import Page
from webapp.experiments.scenes.gallery import files_of, poster_url

VERSION = 1  # engine.scenes.volume.MANIFEST_VERSION, without torch in the web process
VOLUME, MAP = "volume.rgba.gz", "map.png"


def manifest(page: Page, key: str) -> dict[str, Any] | None:
    """The manifest of scene ``key``, also while it is being drawn: then ``volume`` is its newest preview. None for a
    scene that is not there or of which nothing can be seen yet."""
    number = whole(key)
    scene = GeneratedScene.objects.filter(experiment=page.experiment, number=number).first() if number else None
    if scene is None:
        return None
    codes = dict(
        Artifact.objects.filter(experiment=page.experiment, name__startswith=f"{scene.folder}/").values_list(
            "name", "code"
        )
    )

    def url(name: str) -> str:
        code = codes.get(name) or codes.get(f"{scene.folder}/{name}")
        return page.url("artifact", artifact=code) if code else ""

    steps = [{"label": each["label"], "volume": url(each["name"])} for each in scene.previews if url(each["name"])]
    volume = url(VOLUME) or (steps[-1]["volume"] if steps else "")
    if not volume:
        return None
    values = scene.values
    return {
        "version": VERSION,
        "name": f"Scene {scene.number}",
        "grid": values.get("grid") or ScenesSpec.model_validate(page.experiment.spec).voxels,
        "voxel_metres": values.get("voxel_metres"),
        "volume": volume,
        "poster": poster_url(page, scene),
        "sky": values.get("sky", [120, 140, 170]),
        "cameras": values.get("cameras", []),
        "path": values.get("path", {"seconds": 8, "keys": []}),
        "steps": steps,
        "map": url(MAP),
        "downloads": [{"label": label, "url": url(name)} for label, name in files_of(scene) if url(name)],
    }
