"""A scene experiment as it is in the database, no job behind it: losses that fall, held-out views, scenes whose volumes
are halls with pillars. The numbers are made up to be told apart."""

from __future__ import annotations

import gzip
import io
import math
from typing import Any

import numpy as np
from django.core.files.base import ContentFile
from PIL import Image

from jobs.kinds.scenes import store
from jobs.kinds.scenes.models import (
    Collected,
    GeneratedScene,
    HeldOutView,
    LossPoint,
    SceneRun,
    SceneScore,
    SceneSet,
    SetPicture,
    SetScene,
)
from jobs.kinds.scenes.plan import budgets
from jobs.kinds.scenes.presets import PRESETS
from jobs.kinds.scenes.spec import TRAINED, ScenesSpec
from jobs.models import Artifact, Experiment, Shard, ShardStatus, Status
from jobs.services import apply_plan
from webapp.accounts.models import Team, User

GRID = (8, 32, 32)  # Z, Y, X
PARTS = {
    "autoencoder": {"image": 0.3, "perceptual": 0.2, "depth": 0.08, "density": 0.004},
    "latents": {"voxel": 0.05, "kl": 0.002, "commitment": 0.01},
    "diffusion": {"g": 0.6, "c": 0.5, "f": 0.7},
}
SCORES = [
    ("psnr", "PSNR", "dB", "high", {"nearest": 14.2, "autoencoder": 21.4, "latents": 20.1}),
    ("depth", "Depth error, relative", "", "low", {"autoencoder": 0.083, "latents": 0.09}),
    ("kid", "KID, EffLite0", "", "low", {"samples": 0.0912, "autoencoder": 0.0214, "real": 0.0007}),
    ("fd", "Frechet distance, EffLite0", "", "low", {"samples": 38.2, "autoencoder": 12.1, "real": 0.9}),
    ("agreement", "Depth agrees along the flight", "", "high", {"samples": 0.931, "autoencoder": 0.964}),
]


def make_scenes(team: Team, owner: User | None = None, **fields: Any) -> Experiment:
    """``spec``: values of the ScenesSpec; ``drawn``: scenes that are drawn; ``trained``: stages that are trained."""
    spec = ScenesSpec.model_validate(PRESETS[0].values | {"scenes": 3} | fields.pop("spec", {}))
    drawn, trained = fields.pop("drawn", 3), fields.pop("trained", 3)
    values = {"team": team, "owner": owner, "kind": "scenes", "name": "Rooms", "status": Status.FINISHED, **fields}
    experiment = Experiment.objects.create(spec=spec.model_dump(mode="json"), **values)
    store.create_rows(experiment, spec)
    if trained and spec.train:
        _collect(experiment)
        for run in list(SceneRun.objects.filter(experiment=experiment).order_by("pk"))[:trained]:
            _train(run)
        for index in range(4):
            _view(experiment, index)
    for number in range(1, drawn + 1):
        make_drawn(GeneratedScene.objects.get(experiment=experiment, number=number))
    if drawn:
        _measure(experiment)
    _plan(experiment, spec, drawn, trained)
    Experiment.objects.filter(pk=experiment.pk).update(last_seq=9)
    experiment.refresh_from_db()
    return experiment


def _plan(experiment: Experiment, spec: ScenesSpec, drawn: int, trained: int) -> None:
    """The stages with their shards, as far as they are."""
    apply_plan(experiment, spec, 1)
    steps = {**budgets(spec), "collect": 100, "sample": spec.scenes, "evaluate": 100}
    done = ["collect", *TRAINED][: 1 + trained if trained else 0] + (["sample", "evaluate"] if drawn else [])
    for stage in done:
        experiment.shards.filter(stage=stage).update(status=ShardStatus.DONE, done=steps[stage], total=steps[stage])
    if experiment.status == Status.RUNNING:
        now = next(stage for stage in ("collect", *TRAINED, "sample") if stage not in done)
        experiment.shards.filter(stage=now).update(status=ShardStatus.RUNNING, done=steps[now] // 3)
    elif experiment.has_ended:
        experiment.shards.exclude(stage__in=done).update(status=ShardStatus.CANCELLED)


def _collect(experiment: Experiment) -> None:
    facts = {
        "name": "Drawn rooms",
        "format": "rooms",
        "scenes": {"train": 16, "test": 4},
        "views": 20,
        "held_out": 4,
        "has_depth": True,
        "has_maps": True,
        "report": [],
        "fingerprint": "abc",
        "voxel": 0.25,
        "tangent": 1.0,
        "memory": {"total": 41_000_000, "fields": 9, "frusta": 9, "pictures": 9, "available": None},
    }
    Collected.objects.create(experiment=experiment, values=facts, seq=1)


def _train(run: SceneRun) -> None:
    points = []
    for step in range(1, run.steps + 1, max(1, run.steps // 40)):
        fall = 0.25 + 0.75 * math.exp(-4 * step / run.steps) + 0.02 * math.sin(step)
        losses = {name: value * fall for name, value in PARTS[run.stage].items()}
        points.append(LossPoint(experiment=run.experiment, run=run, step=step, values=losses, seq=2))
    LossPoint.objects.bulk_create(points)
    told = {"step": run.steps, "steps": run.steps, "losses": losses, "loss": sum(losses.values())}
    run.progress = {**told, "gradient_norm": 0.4, "learning_rate": 0.0, "steps_per_second": 6.7, "memory": None}
    run.seconds, run.stopped, run.seq = run.steps / 6.7, "finished", 2
    run.save()


def _view(experiment: Experiment, index: int) -> None:
    picture = jpeg(index)
    HeldOutView.objects.create(
        experiment=experiment, index=index, scene=f"room-{index:03}", view=4, step=300, psnr=20.0 + index,
        depth_error=0.08 + 0.01 * index, input=picture, input_depth=jpeg(index, grey=True),
        picture=jpeg(index, blur=True), depth=jpeg(index, grey=True), seq=3,
    )  # fmt: skip


def make_drawn(scene: GeneratedScene, *, previews: int = 2) -> None:
    """Give the scene its volume, poster, previews, a mesh and its values."""
    keep(scene, "volume.rgba.gz", gzip.compress(hall(scene.seed).tobytes(), mtime=0), "application/gzip")
    keep(scene, "poster.jpg", jpeg(scene.number, size=128), "image/jpeg")
    files = [("Mesh (.glb)", "scene.glb", b"glTF"), ("Cameras (.json)", "cameras.json", b"[]")]
    made = [{"label": label, "name": keep(scene, name, content)} for label, name, content in files]
    names = []
    for index in range(previews):
        name = keep(scene, f"step-{index:02}.rgba.gz", gzip.compress(hall(scene.seed, sharp=index).tobytes(), mtime=0))
        names.append({"label": f"coarse, step {5 * index + 5} of 10", "name": name})
    keys = [{part: each[part] for part in ("origin", "forward")} for each in cameras()]
    GeneratedScene.objects.filter(pk=scene.pk).update(
        state=GeneratedScene.State.DRAWN, previews=names, seq=4,
        values={
            "grid": list(GRID), "voxel_metres": 0.25, "sky": [120, 140, 170], "cameras": cameras(), "seconds": 1.8,
            "downloads": made,
            "path": {"seconds": 8, "keys": keys},
        },
    )  # fmt: skip


def make_previewed(scene: GeneratedScene) -> None:
    """A scene that is being drawn and has one preview."""
    name = keep(scene, "step-00.rgba.gz", gzip.compress(hall(scene.seed, sharp=0).tobytes(), mtime=0))
    previews = [{"label": "coarse, step 5 of 10", "name": name}]
    state = GeneratedScene.State.DRAWING
    GeneratedScene.objects.filter(pk=scene.pk).update(state=state, previews=previews, seq=4)


def ask_for(experiment: Experiment, **fields: Any) -> GeneratedScene:
    """A scene that somebody asked for, with its shard."""
    last = GeneratedScene.objects.filter(experiment=experiment).latest("number").number
    index = GeneratedScene.objects.filter(experiment=experiment, stage="generate").count()
    Shard.objects.create(
        experiment=experiment, stage="generate", stage_index=7, index=index, queue="gpu", total=1, aside=True,
        status=ShardStatus.QUEUED,
    )  # fmt: skip
    return GeneratedScene.objects.create(
        experiment=experiment, number=last + 1, stage="generate", shard=index, seed=77, seq=5,
        settings=ScenesSpec.model_validate(experiment.spec).drawing(), **fields,
    )  # fmt: skip


def keep(scene: GeneratedScene, name: str, content: bytes, content_type: str = "application/gzip") -> str:
    """Store an artifact of the scene; its whole name."""
    whole = f"{scene.folder}/{name}"
    file = ContentFile(content, name)
    Artifact.objects.create(
        experiment=scene.experiment, name=whole, content_type=content_type, size=len(content), file=file, seq=4
    )
    return whole


def _measure(experiment: Experiment) -> None:
    SceneScore.objects.bulk_create(
        SceneScore(
            experiment=experiment, subject=subject, metric=metric, value=value, seq=5,
            details={"title": title, "unit": unit, "better": better, "count": 64, "note": ""},
        )
        for metric, title, unit, better, values in SCORES
        for subject, value in values.items()
    )  # fmt: skip


def hall(seed: int, *, sharp: int = 2) -> Any:
    """RGBA uint8 [Z, Y, X, 4]: a floor, walls around it and pillars on it; fog instead while it forms."""
    rng = np.random.default_rng(seed)
    _, height, width = GRID
    volume = np.zeros((*GRID, 4), np.uint8)
    floor = 90 + 12 * ((np.arange(height)[:, None] // 4 + np.arange(width)[None] // 4) % 2)
    volume[0] = np.stack([floor, floor * 0.8, floor * 0.6, np.full_like(floor, 255)], -1)
    volume[:6, [0, -1]] = (120, 124, 130, 255)
    volume[:6, :, [0, -1]] = (120, 124, 130, 255)
    for _ in range(7):
        y, x = rng.integers(4, height - 4), rng.integers(4, width - 4)
        volume[: rng.integers(3, 7), y : y + 2, x : x + 2] = (*rng.integers(70, 220, 3), 255)
    if sharp < 2:
        volume[..., 3] = (volume[..., 3] * (0.25 + 0.25 * sharp)).astype(np.uint8)
    return volume


def cameras(count: int = 6) -> list[dict[str, Any]]:
    """On a ring about the middle of the grid, looking along it."""
    depth, height, width = GRID
    made = []
    for index in range(count):
        turn = 2 * math.pi * index / count
        origin = [width / 2 + 9 * math.cos(turn), height / 2 + 9 * math.sin(turn), depth / 2]
        forward = [math.cos(turn + math.pi / 2), math.sin(turn + math.pi / 2), 0.0]
        right = [forward[1], -forward[0], 0.0]
        made.append({"origin": origin, "right": right, "down": [0.0, 0.0, -1.0], "forward": forward, "tangent": 1.0})
    return made


def jpeg(seed: int, *, size: int = 32, grey: bool = False, blur: bool = False) -> bytes:
    """A picture of a corridor that differs with the seed."""
    rng = np.random.default_rng(seed)
    colour = rng.integers(60, 200, 3)
    y, x = np.mgrid[:size, :size] / size - 0.5
    far = np.maximum(abs(x), abs(y))[..., None] * 2
    pixels = (colour * (0.25 + 0.75 * far)).astype(np.uint8) if not grey else (255 * far[..., 0]).astype(np.uint8)
    image = Image.fromarray(pixels)
    if blur:
        image = image.resize((size // 4, size // 4)).resize((size, size))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()


def make_set(team: Team, *, pictures: int = 6, **fields: Any) -> SceneSet:
    """A set that was read: two scenes with six cameras, one view held out; ``pictures``: of each scene's views."""
    values = {
        "team": team, "name": "Our office", "source": "upload", "status": "ready", "format": "transforms",
        "report": {
            "problems": [{"kind": "lens_distortion", "where": "<b>hall</b>", "message": "k1 is 0.2"}],
            "counts": {"lens_distortion": 3},
        },
        "counts": {"scenes": 2, "views": 12, "train": 1, "test": 1, "depth": 0, "maps": 0, "shown": 2},
        **fields,
    }  # fmt: skip
    found = SceneSet.objects.create(**values)
    for index, name in enumerate(("kitchen", "desk")):
        told = {
            "grid": list(GRID),
            "voxel": 0.2,
            "cameras": cameras(),
            "held_out": [4],
            "depth": False,
            "split": "train",
        }
        scene = SetScene.objects.create(data_set=found, index=index, name=name, values=told)
        for view in range(pictures):
            SetPicture.objects.create(scene=scene, view=view, jpeg=jpeg(10 * index + view))
    return found
