"""A whole scene experiment through real runners: every stage, every kind of row, every file; scenes that are asked for
afterwards; stages that are used again."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.core.files.base import ContentFile
from PIL import Image

from jobs import services
from jobs.kinds.scenes.asking import BoxIn, Drawing, SceneRequest, ask_scene
from jobs.kinds.scenes.details import held_out_picture
from jobs.kinds.scenes.models import GeneratedScene, HeldOutView, LossPoint, SceneRun, SceneScore
from jobs.live import live_state
from jobs.models import Experiment, Status
from webapp.accounts.models import User

pytestmark = pytest.mark.django_db(transaction=True)
FILES = {
    "volume.rgba.gz", "poster.jpg", "latents.safetensors", "cameras.json", "scene.npz", "flight.mp4", "panorama.jpg",
}  # fmt: skip


def finished(experiment: Experiment) -> Experiment:
    experiment.refresh_from_db()
    tails = list(experiment.shards.exclude(log_tail="").values_list("log_tail", flat=True))
    assert experiment.status == Status.FINISHED, (experiment.reason, tails)
    return experiment


def content(experiment: Experiment, name: str) -> bytes:
    with experiment.artifacts.get(name=name).file.open("rb") as file:
        return bytes(file.read())


def voxels(experiment: Experiment, folder: str) -> Any:
    with np.load(io.BytesIO(content(experiment, f"{folder}/scene.npz"))) as stored:
        return stored["field"]


def files_of(experiment: Experiment, folder: str) -> set[str]:
    names = experiment.artifacts.filter(name__startswith=f"{folder}/").values_list("name", flat=True)
    return {name.partition("/")[2] for name in names}


def test_from_rooms_to_scenes_and_back(
    submit_scenes: Callable[..., Experiment], workers: Callable[[], None], alice: User
) -> None:
    experiment = submit_scenes()
    workers()
    finished(experiment)
    runs = {run.stage: run for run in SceneRun.objects.filter(experiment=experiment)}
    assert {stage: (run.stopped, run.progress["step"]) for stage, run in runs.items()} == {
        "autoencoder": ("finished", 6),
        "latents": ("finished", 5),
        "diffusion": ("finished", 5),
    }
    points = LossPoint.objects.filter(run=runs["diffusion"]).order_by("step")
    assert [point.step for point in points] == [1, 2, 3, 4, 5]
    assert set(points[0].values) == {"loss", "g", "c", "f"}
    views = list(HeldOutView.objects.filter(experiment=experiment).order_by("index"))
    assert [(view.scene, view.step) for view in views] == [("test/room-0000", 6), ("test/room-0001", 6)]
    for part in ("input", "input_depth", "picture", "depth"):
        jpeg = held_out_picture(experiment, 1, part)
        assert jpeg is not None and Image.open(io.BytesIO(jpeg)).size == (32, 32)
    assert held_out_picture(experiment, 2, "input") is None
    scores = {(row.subject, row.metric): row.value for row in SceneScore.objects.filter(experiment=experiment)}
    assert 5 < scores["autoencoder", "psnr"] < 60 and ("latents", "psnr") in scores
    assert {("nearest", "psnr"), ("real", "kid"), ("autoencoder", "kid"), ("samples", "kid")} <= scores.keys()

    first = GeneratedScene.objects.get(experiment=experiment, number=1)
    assert files_of(experiment, first.folder) - {each["name"].partition("/")[2] for each in first.previews} >= FILES
    volume = gzip.decompress(content(experiment, f"{first.folder}/volume.rgba.gz"))
    assert len(volume) == 4 * 4 * 16 * 16 and first.values["grid"] == [4, 16, 16]
    assert first.values["voxel_metres"] == 0.75 and len(first.values["cameras"]) == 2
    assert [each["label"] for each in first.previews][-1] == "fine, step 3 of 3"
    assert {"label": "Flight (.mp4)", "name": "scene-0001/flight.mp4"} in first.values["downloads"]

    state = live_state(experiment)["kind"]
    assert state["data"]["scenes"] == {"train": 2, "test": 2} and state["data"]["has_maps"]
    assert state["data"]["memory"]["total"] > 0 and state["counts"] == {"scenes": 2, "drawn": 2}
    assert [run["stage"] for run in state["runs"]] == ["autoencoder", "latents", "diffusion"]
    assert [scene["status"] for scene in state["scenes"]] == ["done", "done"]
    assert len(state["losses"]) == 16 and len(state["views"]) == 2 and state["views"][0]["has_depth"]
    quiet = live_state(experiment, experiment.last_seq)["kind"]
    assert not any(quiet[part] for part in ("data", "runs", "losses", "views", "scenes", "scores"))
    assert experiment.summary["label"] in ("PSNR", "KID")

    _asked_for(experiment, workers, alice)
    _used_again(experiment, submit_scenes, workers)


def _asked_for(experiment: Experiment, workers: Callable[[], None], alice: User) -> None:
    """The operations, on the ended experiment."""
    ended = experiment.finished_at
    painted = io.BytesIO()
    Image.new("RGB", (32, 32), (0, 255, 40)).save(painted, "PNG")

    def picture() -> ContentFile[bytes]:
        return ContentFile(painted.getvalue(), "painted.png")

    def ask(**request: Any) -> GeneratedScene:
        files = {name: request.pop(name) for name in ("map", "image") if name in request}
        return ask_scene(experiment=experiment, by=alice, request=SceneRequest(**request), **files)

    asked = [
        ask(seed=0),  # as scene 1 was drawn
        ask(seed=0, c=Drawing(steps=2, sampler="heun"), map=picture()),
        ask(operation="inpaint", parent=1, box=BoxIn(x0=0, y0=0, x1=0.5, y1=0.5), seed=1),
        ask(operation="vary", parent=1, strength=0.3, groups=["f"], seed=1),
        ask(operation="join", parent=1, other=2, seed=1),
        ask(operation="style", parent=1, image=picture()),
        ask(operation="improve", parent=1),
    ]
    for refused, sentence in (
        ({"operation": "inpaint", "parent": 1}, "needs a box"),
        ({"operation": "join", "parent": 1}, "needs another scene"),
        ({"operation": "style", "parent": 1}, "needs a picture"),
        ({"operation": "vary", "parent": 3}, "no drawn scene 3"),
        ({"operation": "vary", "parent": 99}, "no drawn scene 99"),
    ):
        with pytest.raises(services.Refused, match=sentence):
            ask(**refused)
    workers()
    finished(experiment)
    assert experiment.finished_at == ended, "what is asked for beside it changes nothing of it"
    for scene in asked:
        scene.refresh_from_db()
        shard = experiment.shards.get(stage="generate", index=scene.shard)
        assert scene.state == "drawn", (scene.operation, shard.reason, shard.log_tail)
        assert files_of(experiment, scene.folder) >= FILES
    again, on_map, inpainted = asked[:3]
    assert experiment.artifacts.filter(name="prior.safetensors").exists()
    fields = [voxels(experiment, folder) for folder in ("scene-0001", again.folder, asked[-2].folder, asked[-1].folder)]
    assert (fields[0] == fields[1]).all() and not (fields[0] == fields[2]).all() and not (fields[0] == fields[3]).all()
    name = "latents.safetensors"
    assert content(experiment, f"{again.folder}/{name}") == content(experiment, f"scene-0001/{name}")
    assert content(experiment, f"{on_map.folder}/{name}") != content(experiment, f"scene-0001/{name}")
    assert on_map.settings["c"] == {"sampler": "heun", "steps": 2, "guidance": 1.0}
    assert "map.png" in files_of(experiment, on_map.folder)
    assert inpainted.settings["box"] == {"left": 0, "top": 0, "right": 0.5, "bottom": 0.5}


def _used_again(experiment: Experiment, submit_scenes: Callable[..., Experiment], workers: Callable[[], None]) -> None:
    """The same inputs are found; an experiment can be started from, if its sizes fit."""
    similar = submit_scenes(diffusion_steps=2, scenes=1, evaluate=False)
    with pytest.raises(services.Refused, match="other sizes"):
        submit_scenes(start_from=str(experiment.code), channels=6)
    with pytest.raises(services.Refused, match="no such scene experiment"):
        submit_scenes(start_from="6f1c0f5d-7f0f-4c2e-9d0c-2a5b0a1f3c11")
    with pytest.raises(services.Refused, match="no trained scene auto-encoder"):
        submit_scenes(start_from=str(similar.code))
    started = submit_scenes(
        start_from=str(experiment.code), start_through="latents", rooms=3, groups="c+f", diffusion_steps=2, scenes=1
    )
    workers()
    for each in (similar, started):
        finished(each)
        runs = SceneRun.objects.filter(experiment=each).order_by("pk")
        assert [run.stopped for run in runs] == ["reused", "reused", "finished"]
        assert runs[0].reused_from == experiment
        weights = [content(one, "autoencoder.safetensors") for one in (experiment, each)]
        assert weights[0] == weights[1]
    source, copy = (SceneRun.objects.get(experiment=each, stage="latents").key for each in (experiment, started))
    assert source == copy
    scene = GeneratedScene.objects.get(experiment=started)
    assert set(scene.settings) == {"c", "f"} and len(scene.values["cameras"]) == 40
