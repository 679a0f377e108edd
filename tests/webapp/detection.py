"""A detection experiment as it is in the database, no job behind it: a run for each method and seed, scores that fall
with the angle, pictures with boxes. The numbers are made up to be told apart."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageDraw

from jobs.kinds.detection import store
from jobs.kinds.detection.models import (
    AngleScore,
    Epoch,
    LabelQuality,
    Picture,
    Prediction,
    Prepared,
    Run,
    TriedDetections,
    TriedImage,
    TriedPicture,
)
from jobs.kinds.detection.spec import DetectionSpec
from jobs.models import Experiment, Shard, ShardStatus, Status
from webapp.accounts.models import Team, User

CLASSES = ["ellipse", "rectangle", "corner"]
SIZE = 96
DROP = {"none": 0.011, "largest": 0.012, "ellipse": 0.008, "perfect": 0.003}  # of AP75 for each degree
START = {"none": 0.8, "largest": 0.62, "ellipse": 0.72, "perfect": 0.78}


def make_detection(team: Team, owner: User | None = None, **fields: Any) -> Experiment:
    """``spec``: values of the DetectionSpec; ``scored``: with scores and predictions; ``epochs``: finished by each."""
    asked = {"rules": ["none", "largest", "ellipse", "ellipse+ru", "perfect"], "seeds": 2, "backbone": "tiny"}
    spec = DetectionSpec.model_validate(asked | fields.pop("spec", {}))
    scored, epochs = fields.pop("scored", True), fields.pop("epochs", 6)
    values = {"team": team, "owner": owner, "kind": "detection", "name": "Shapes", "status": Status.FINISHED, **fields}
    experiment = Experiment.objects.create(spec=spec.model_dump(mode="json"), **values)
    store.create_runs(experiment, spec)
    if epochs or scored:
        _prepare(experiment, spec)
    for run in Run.objects.filter(experiment=experiment):
        _train(run, epochs, spec.epochs if scored else 0)
        if scored:
            _test(run, spec)
    Experiment.objects.filter(pk=experiment.pk).update(last_seq=9)
    return experiment


def _prepare(experiment: Experiment, spec: DetectionSpec) -> None:
    facts = {
        "name": "Rendered shapes",
        "classes": CLASSES,
        "has_masks": True,
        "images": {"train": 240, "val": 60, "test": 60},
        "objects": {"train": 601, "val": 148},
        "report": ["2 x box outside, for example a.png, object 3: cut to the image"],
        "fingerprint": "abc",
    }
    Prepared.objects.create(experiment=experiment, values=facts, seq=1)
    for rule in spec.upright_rules:
        if rule in ("none", "perfect"):
            continue
        for angle in spec.angles:
            quality = max(0.02, 1 - DROP[rule] * 2 * angle)
            LabelQuality.objects.create(
                experiment=experiment, rule=rule, angle=angle, share50=min(1, quality + 0.3), share75=quality,
                mean_iou=0.5 + quality / 2, objects_count=601, seq=2,
            )  # fmt: skip


def _train(run: Run, epochs: int, stopped_at: int) -> None:
    for epoch in range(1, epochs + 1):
        loss = 1.6 / epoch + 0.2 + 0.02 * (run.index % 3)
        gates = {
            "bbox_regression": [[5.0 * i, 5.0 * i + 5, 100, 95 if i == 0 else max(2, 40 - 5 * i)] for i in range(9)]
        }
        values = {
            "loss": loss,
            "losses": {"classification": loss * 0.6, "bbox_regression": loss * 0.4},
            "images_per_second": 90.0,
            "learning_rate": 0.001,
            "ap": 0.5 - 0.4 / epoch,
            "ap50": 0.7 - 0.4 / epoch,
            "ap75": 0.45 - 0.4 / epoch,
            "best": True,
            "gates": gates if run.delta else {},
        }
        Epoch.objects.create(experiment=run.experiment, run=run, epoch=epoch, values=values, seq=3)
    progress = {"epoch": epochs, "epochs": 30, "step": 9, "steps": 99, "losses": {}, "loss": 0.4, "processes": 1}
    run.epochs, run.best_epoch, run.best_ap = epochs, epochs or None, 0.5 if epochs else None
    run.stopped = "finished" if stopped_at else ""
    run.progress = progress | {"images_per_second": 90.0} if epochs else {}
    run.seq = 3
    run.save()


def _test(run: Run, spec: DetectionSpec) -> None:
    for angle in spec.angles:
        ap75 = max(0.01, START[run.rule] - DROP[run.rule] * angle + (0.05 if run.delta else 0) + 0.01 * (run.seed % 2))
        three = [ap75 * 0.9, min(1.0, ap75 + 0.2), ap75]
        curve = [round(max(0.0, 1 - (i / 100) ** 3 * (1.2 - ap75)), 4) for i in range(101)]
        details = {
            "classes": dict.fromkeys(CLASSES, three),
            "sizes": {"small": [None, None, None], "medium": three, "large": three},
            "curves": dict.fromkeys(CLASSES, curve),
            "curves75": {name: [value / 2 for value in curve] for name in CLASSES},
            "confusion": [[40, 3, 1, 5], [2, 44, 0, 3], [0, 1, 47, 1], [4, 2, 1, 0]],
            "images": 60,
            "objects": 148,
            "exact": True,
        }
        AngleScore.objects.create(
            experiment=run.experiment,
            run=run,
            angle=angle,
            ap=three[0],
            ap50=three[1],
            ap75=ap75,
            details=details,
            seq=4,
        )
        for image in range(2):
            _predict(run, angle, image, ap75)


def _predict(run: Run, angle: float, image: int, quality: float) -> None:
    picture, _ = Picture.objects.get_or_create(
        experiment=run.experiment, image=image, angle=angle, defaults={"jpeg": jpeg(image, angle)}
    )
    overlap = round(min(0.99, quality + 0.2), 3)
    values = {
        "size": SIZE,
        "found": [
            [0, 0.91, 12.0, 14.0, 44.0, 40.0, overlap],
            [1, 0.42, 52.0, 50.0, 84.0, 80.0, 0.62],
            [2, 0.33, 60.0, 6.0, 80.0, 22.0, 0],
        ],
        "truth": [
            [0, 14.0, 16.0, 44.0, 41.0, overlap, 0],
            [1, 54.0, 52.0, 80.0, 78.0, 0.62, 0],
            [2, 4, 70, 20, 90, 0, 0],
        ],
    }
    Prediction.objects.create(
        experiment=run.experiment, run=run, angle=angle, image=image, file=f"test-{image:03}.png",
        badness=round(2 - quality + 0.1 * image, 4), chosen="worst" if image else "random", picture=picture,
        values=values, seq=4,
    )  # fmt: skip


def make_tried(experiment: Experiment, angles: Sequence[float] = (0.0, 10.0)) -> TriedImage:
    """A picture that somebody uploaded, with what every run found in it."""
    count = TriedImage.objects.filter(experiment=experiment).count()
    tried = TriedImage.objects.create(
        experiment=experiment,
        index=count,
        name="mine.jpg",
        file="tried/mine.jpg",
        angles=list(angles),
        size=SIZE,
        seq=9,
    )
    Shard.objects.create(
        experiment=experiment, stage="try", stage_index=4, index=count, queue="cpu", status=ShardStatus.DONE, aside=True
    )
    for angle in angles:
        TriedPicture.objects.create(tried=tried, angle=angle, jpeg=jpeg(angle=angle))
        for run in Run.objects.filter(experiment=experiment):
            found = [[0, 0.9, 14, 16, 44, 41], [1, 0.3, 54, 52, 80, 78]]
            TriedDetections.objects.create(tried=tried, run=run, angle=angle, found=found)
    return tried


def jpeg(image: int = 0, angle: float = 0.0) -> bytes:
    canvas = Image.new("RGB", (SIZE, SIZE), (48, 60, 54))
    draw = ImageDraw.Draw(canvas)
    draw.ellipse((14, 16, 44, 41), fill=(208, 140, 60))
    draw.rectangle((54, 52, 80, 78), fill=(90, 130, 200))
    draw.polygon([(4, 70), (20, 90), (4, 90)], fill=(180, 80, 90 + 20 * image))
    packed = io.BytesIO()
    canvas.rotate(angle).save(packed, "JPEG", quality=85)
    return packed.getvalue()
