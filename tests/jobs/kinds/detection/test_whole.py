"""A whole detection experiment through real runners: every stage, every kind of row, every file."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from django.core.files.base import ContentFile
from PIL import Image

from jobs.kinds.detection.details import epoch_details, picture, predictions, score_details
from jobs.kinds.detection.models import AngleScore, Epoch, LabelQuality, Run
from jobs.kinds.detection.tries import tried_picture, tried_state, try_image
from jobs.live import live_state
from jobs.models import Experiment, Status
from webapp.accounts.models import User

pytestmark = pytest.mark.django_db(transaction=True)


def test_from_shapes_to_files(
    submit_detection: Callable[..., Experiment], workers: Callable[[], None], alice: User
) -> None:
    experiment = submit_detection(rules=["ellipse+ru", "perfect"], architectures=["fcos"])
    workers()
    experiment.refresh_from_db()
    assert experiment.status == Status.FINISHED, experiment.reason
    runs = list(Run.objects.filter(experiment=experiment).order_by("index"))
    assert [(run.rule, run.delta, run.stopped, run.epochs) for run in runs] == [
        ("ellipse", 10.0, "finished", 2),
        ("perfect", None, "finished", 2),
    ]
    assert Epoch.objects.filter(experiment=experiment).count() == 4
    assert set(AngleScore.objects.filter(experiment=experiment).values_list("run__index", "angle")) == {
        (run, angle) for run in (0, 1) for angle in (0.0, 20.0)
    }
    quality = {(row.rule, row.angle): row for row in LabelQuality.objects.filter(experiment=experiment)}
    assert set(quality) == {(rule, angle) for rule in ("largest", "ellipse") for angle in (0.0, 20.0)}
    assert quality["ellipse", 0.0].share75 == 1.0
    names = {artifact.name for artifact in experiment.artifacts.all()}
    slugs = ("00-ellipse-ru10-fcos-seed0", "01-perfect-fcos-seed0")
    kept = {file for slug in slugs for file in (f"best-{slug}.safetensors", f"{slug}.onnx")}
    assert names == kept | {"scores.csv", "scores.parquet"}

    state = live_state(experiment)["kind"]
    assert [run["index"] for run in state["runs"]] == [0, 1]
    assert [(row["run"], row["epoch"]) for row in state["epochs"]] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert state["data"]["images"] == {"train": 8, "val": 4, "test": 4} and state["data"]["has_masks"]
    assert state["epochs_planned"] == 2 and state["classes"] == ["ellipse", "rectangle", "corner"]
    assert live_state(experiment, experiment.last_seq)["kind"]["scores"] == []
    details = score_details(experiment, 0, 20.0)
    assert details is not None and details["exact"] and len(details["confusion"]) == 4
    assert all(len(curve) == 101 for curve in details["curves75"].values())
    assert epoch_details(experiment, 0)[0]["gates"]["box"]
    shown = predictions(experiment, 0, 20.0)
    assert shown["total"] == 4 and shown["items"][0]["size"] == 64
    jpeg = picture(experiment, shown["items"][0]["picture"])
    assert jpeg is not None and Image.open(io.BytesIO(jpeg)).size == (64, 64)

    ended = experiment.finished_at
    png = io.BytesIO()
    Image.new("RGB", (90, 60), "red").save(png, "PNG")
    tried = try_image(experiment=experiment, by=alice, file=ContentFile(png.getvalue(), "red.png"))
    experiment.refresh_from_db()
    assert experiment.status == Status.FINISHED
    workers()
    experiment.refresh_from_db()
    assert (experiment.status, experiment.finished_at) == (Status.FINISHED, ended), "a try changes nothing of it"
    told = tried_state(tried)
    assert told["state"] == "done" and told["pictured"] == [float(angle) for angle in range(0, 91, 10)]
    assert set(told["found"]) == {"0", "1"} and len(told["found"]["0"]) == 10
    turned = tried_picture(tried, 90.0)
    assert turned is not None and Image.open(io.BytesIO(turned)).size == (64, 64)
