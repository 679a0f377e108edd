"""A scene experiment offline: losses, evaluation, and the scenes as pictures, films and meshes.

The viewer is made of modules, which browsers do not load for a page opened from disk. A mesh opens in any
viewer of glTF.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from asgiref.sync import sync_to_async
from django.template.loader import render_to_string

from jobs.kinds.scenes.models import GeneratedScene
from jobs.kinds.scenes.spec import TRAINED
from jobs.models import Artifact, Experiment
from webapp.experiments.downloads import file_pieces
from webapp.experiments.offline.content import Figure, File, Line, Offline, Table

Json = dict[str, Any]
KEPT = (".jpg", ".mp4", ".gif", ".glb")  # poster, panorama, film, mesh
POSTER = "poster.jpg"
MOST = 60  # scenes, the newest
PAGE = "scenes.html"
SLOTS = 7


def offline_content(experiment: Experiment, kind: Json) -> Offline:
    """``kind``: the kind's part of the live state."""
    files, pages = _scenes(experiment)
    return Offline(
        facts=[("Scenes", f"{kind['counts']['drawn']:,} of {kind['counts']['scenes']:,}")],
        figures=[figure for stage, title in TRAINED.items() if (figure := _losses(kind["losses"], stage, title))],
        tables=[_scores(kind["scores"])] if kind["scores"] else [],
        files=files,
        pages=pages,
    )


def _losses(rows: Sequence[Json], stage: str, title: str) -> Figure | None:
    """A line for each part of the stage's loss."""
    found = sorted((row for row in rows if row["stage"] == stage), key=lambda row: int(row["step"]))
    parts = list(dict.fromkeys(name for row in found for name in row["values"]))
    steps = [row["step"] for row in found]
    lines = [
        Line(name, steps, [row["values"].get(name) for row in found], i % SLOTS + 1, markers=len(steps) < 40)
        for i, name in enumerate(parts)
    ]
    return Figure(f"loss-{stage}", f"Losses: {title}", "step", "loss", lines) if lines else None


def _scores(rows: Sequence[Json]) -> Table:
    heads = ["Measure", "Of", "Value", "Unit", "Better"]
    told = [(row, row["details"]) for row in rows]
    return Table(
        "Evaluation",
        heads,
        [
            [str(more.get("title") or row["metric"]), row["subject"], row["value"], more.get("unit", ""),
             more.get("better", "")]
            for row, more in told
        ],
    )  # fmt: skip


def _scenes(experiment: Experiment) -> tuple[list[File], list[tuple[str, str]]]:
    """The files of the newest scenes and the page that shows them; nothing without scenes."""
    drawn = GeneratedScene.objects.filter(experiment=experiment, state=GeneratedScene.State.DRAWN)
    scenes = list(drawn.order_by("-number")[:MOST])
    if not scenes:
        return [], []
    kept: dict[str, list[Artifact]] = {scene.folder: [] for scene in scenes}
    for file in Artifact.objects.filter(experiment=experiment, name__startswith="scene-").order_by("name"):
        folder = file.name.partition("/")[0]
        if folder in kept and file.name.endswith(KEPT):
            kept[folder].append(file)
    shown = [_shown(scene, kept[scene.folder]) for scene in scenes]
    page = render_to_string("offline/scenes.html", {"scenes": shown, "name": experiment.name, "all": drawn.count()})
    files = [_file(file) for found in kept.values() for file in found]
    return [_text(PAGE, page), *files], [("Scenes", PAGE)]


def _shown(scene: GeneratedScene, files: Sequence[Artifact]) -> Json:
    paths = {file.name.partition("/")[2]: _path(file) for file in files}
    return {
        "scene": scene,
        "poster": paths.get(POSTER, ""),
        "film": next((path for path in paths.values() if path.endswith(".mp4")), ""),
        "files": [(name, path) for name, path in paths.items() if name != POSTER],
    }


def _path(file: Artifact) -> str:
    return f"scenes/{file.name}"


def _file(file: Artifact) -> File:
    return File(_path(file), file.size, lambda: _pieces(file), has_samples=True)


async def _pieces(file: Artifact) -> AsyncIterator[bytes]:
    try:
        content = await sync_to_async(file.file.open)("rb")
    except FileNotFoundError:  # gone from the storage: the rest of the copy is still worth having
        return
    async for piece in file_pieces(content):
        yield piece


def _text(path: str, text: str) -> File:
    content = text.encode()

    async def stream() -> AsyncIterator[bytes]:
        yield content

    return File(path, len(content), stream, has_samples=True)
