"""The train stage on its own: several processes, losses that are not numbers, other hardware."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from django.core.files.base import ContentFile
from PIL import Image
from safetensors.torch import load_file

from engine.detection import training
from engine.training.checkpoint import load_checkpoint
from jobs import services
from jobs.kinds.detection import jobs
from jobs.kinds.detection import train as stage
from jobs.kinds.detection.models import AngleScore, Run
from jobs.kinds.detection.train import train_run
from jobs.kinds.detection.tries import tried_state, try_image
from jobs.kinds.runner_parts import Hopeless
from jobs.models import Artifact, Experiment, Shard, Status
from tests.jobs.kinds.sampling.fake_context import FakeContext
from webapp.accounts.models import User


@pytest.fixture(autouse=True)
def _broker() -> None:
    """Most of this needs no broker."""


@pytest.fixture
def job(tmp_path: Path) -> dict[str, Any]:
    return {
        "done": 0,
        "data": {"kind": "shapes", "images": 8, "size": 64},
        "folder": str(tmp_path / "run"),
        "slug": "00-ellipse-fcos-seed0",
        "label": "Ellipse, FCOS, seed 0",
        "model": {
            "architecture": "fcos",
            "classes": 3,
            "image_size": 64,
            "backbone": "tiny",
            "pretrained": False,
            "weights": None,
            "delta": 10.0,
            "finest_stride": 8,
            "detections_per_image": 100,
        },
        "train": {"rule": "ellipse", "epochs": 2, "batch_size": 4, "warmup_steps": 2, "ema_decay": 0.5, "seed": 0},
    }


def epochs(context: FakeContext) -> list[dict[str, Any]]:
    return [dict(row) for row in context.rows if row["is"] == "epoch"]


def test_two_processes_train_one_run(job: dict[str, Any], tmp_path: Path) -> None:
    context = FakeContext(tmp_path)
    train_run(job | {"processes": 2}, context)
    assert [row["epoch"] for row in epochs(context)] == [1, 2] and context.done == 2
    assert context.rows[-1]["stopped"] == "finished"
    assert [name for _, name, _ in context.artifacts] == ["best-00-ellipse-fcos-seed0.safetensors"]
    state = load_checkpoint(tmp_path / "run" / "last.pt")
    assert state["identity"]["train"]["batch_size"] == 2, "each takes half of the batch"
    assert all(torch.isfinite(value).all() for value in load_file(tmp_path / "run" / "best.safetensors").values())


@pytest.mark.faults  # slow: each process loads torch
def test_two_processes_stop_when_told(job: dict[str, Any], tmp_path: Path) -> None:
    context = FakeContext(tmp_path, cancel_after=1)
    long = job | {"processes": 2, "train": job["train"] | {"epochs": 50}}
    train_run(long, context)
    assert not context.artifacts and len(epochs(context)) < 50


@pytest.mark.faults
def test_the_error_of_one_process_is_the_runs(job: dict[str, Any], tmp_path: Path) -> None:
    wild = job["train"] | {"learning_rate": 1e30, "epochs": 3, "warmup_steps": 0}
    with pytest.raises(Hopeless, match=r"Images: images/0000\d.png"):
        train_run(job | {"processes": 2, "train": wild}, FakeContext(tmp_path))


def test_a_worker_with_other_gpus_starts_the_run_over(job: dict[str, Any], tmp_path: Path) -> None:
    train_run(job, FakeContext(tmp_path))
    context = FakeContext(tmp_path)
    context.done = 0
    other = job | {"train": job["train"] | {"batch_size": 2}}  # what two GPUs would take each
    train_run(other, context)
    assert "starts over" in context.logs[0] and [row["epoch"] for row in epochs(context)] == [1, 2]


def test_the_batch_is_shared_evenly_or_not_at_all() -> None:
    config = training.TrainConfig(batch_size=12)
    for gpus, processes, batch in ((1, 1, 12), (4, 4, 3), (5, 4, 3), (8, 6, 2), (64, 12, 1)):
        spread, count = stage._spread(config, gpus)
        assert (count, spread.batch_size) == (processes, batch)


def test_a_second_attempt_reports_every_epoch_again(job: dict[str, Any], tmp_path: Path) -> None:
    first = FakeContext(tmp_path)
    train_run(job, first)
    journal = tmp_path / "run" / "epochs.jsonl"
    journal.write_text(journal.read_text() + '{"is": "epo')  # the process was killed as it wrote
    second = FakeContext(tmp_path)
    train_run(job, second)
    assert json.dumps(epochs(second)) == json.dumps(epochs(first)) and len(second.artifacts) == 1


def test_a_damaged_checkpoint_starts_the_run_over(job: dict[str, Any], tmp_path: Path) -> None:
    train_run(job, FakeContext(tmp_path))
    (tmp_path / "run" / "last.pt").write_bytes(b"half of a")
    context = FakeContext(tmp_path)
    train_run(job, context)
    assert "starts over" in context.logs[0] and len(epochs(context)) == 2


@pytest.mark.django_db(transaction=True)
def test_a_loss_that_is_no_number_ends_its_run_only(
    broker: None,
    submit_detection: Callable[..., Experiment],
    workers: Callable[[], None],
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    experiment = submit_detection(rules=["ellipse", "perfect"])
    made = jobs.make_job

    def spoiled(shard: Shard) -> dict[str, Any]:
        found = made(shard)
        if shard.stage == "train" and shard.index == 0:
            found["train"] |= {"learning_rate": 1e30, "warmup_steps": 0}  # beyond what a Spec may say
        return found

    with monkeypatch.context() as patch:
        patch.setattr("jobs.kinds.detection.kind.make_job", spoiled)
        workers()
    experiment.refresh_from_db()
    assert experiment.status == Status.FAILED and "Images: images/0000" in experiment.reason
    bad = experiment.shards.get(stage="train", index=0)
    assert (bad.status, bad.attempt) == ("failed", 1), "it would come out the same again"
    kept = experiment.artifacts.get(name="batch-not-finite-00-ellipse-fcos-seed0.pt")
    with kept.file.open() as file:
        batch = torch.load(file, weights_only=True)
    assert batch["images"].shape[0] == 4 and len(batch["names"]) == 4
    assert set(AngleScore.objects.filter(experiment=experiment).values_list("run__index", flat=True)) == {1}
    table = experiment.artifacts.get(name="scores.csv").file.read().decode().splitlines()
    assert len(table) == 3 and all(line.startswith("1,fcos,perfect") for line in table[1:])
    assert [each.name for each in experiment.artifacts.filter(name__endswith=".onnx")] == ["01-perfect-fcos-seed0.onnx"]
    png = io.BytesIO()
    Image.new("RGB", (40, 60)).save(png, "PNG")
    tried = try_image(experiment=experiment, by=alice, file=ContentFile(png.getvalue(), "black.png"))
    workers()
    told = tried_state(tried)
    assert told["state"] == "done" and set(told["found"]) == {"1"}, "with the detector that there is"

    services.retry(experiment=experiment)
    workers()
    experiment.refresh_from_db()
    assert experiment.status == Status.FINISHED
    assert experiment.artifacts.filter(name__endswith=".onnx").count() == 2, "the files are made once more, of all runs"
    broken = try_image(experiment=experiment, by=alice, file=ContentFile(b"no picture", "a.png"))
    workers()
    assert tried_state(broken)["state"] == "failed" and "cannot be read" in tried_state(broken)["reason"]
    experiment.refresh_from_db()
    assert experiment.status == Status.FINISHED, "a failed try is no failure of the experiment"


@pytest.mark.django_db(transaction=True)
def test_checkpoints_are_kept_as_long_as_a_run_may_go_on(
    broker: None, submit_detection: Callable[..., Experiment]
) -> None:
    experiment = submit_detection(rules=["ellipse", "perfect"])
    folders = [jobs.experiment_folder(experiment) / f"run-{index}" for index in range(2)]
    for folder, run in zip(folders, Run.objects.filter(experiment=experiment).order_by("index"), strict=True):
        folder.mkdir(parents=True)
        kept = Artifact(experiment=experiment, name=f"last-{jobs.slug(run)}.pt", size=3)
        kept.file.save("last.pt", ContentFile(b"all"))
    storage, names = kept.file.storage, [str(each.file.name) for each in experiment.artifacts.order_by("name")]
    for trained, left in enumerate([[False, True], [False, False]]):
        Run.objects.filter(experiment=experiment, index=trained).update(stopped="finished")
        jobs.clear_drafts(experiment)
        assert [folder.exists() for folder in folders] == left
        assert [storage.exists(name) for name in names] == left
        assert experiment.artifacts.count() == sum(left)
    assert not jobs.experiment_folder(experiment).exists()
