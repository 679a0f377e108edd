"""kill -9 in the middle of a detection experiment: afterwards every epoch and score is there once, and equal to those
of an experiment that nobody disturbed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobs import services
from jobs.kinds import get_kind
from jobs.kinds.detection.models import AngleScore, Epoch, Prediction, Run
from jobs.models import Experiment, Status
from tests.stack import Stack, wait_for
from webapp.accounts.models import Team, User

pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True)]
EPOCHS, ANGLES = 8, [float(angle) for angle in range(0, 91, 3)]
SPEC = {
    "shapes": 64,
    "rules": ["ellipse+ru"],
    "architectures": ["fcos"],
    "backbone": "tiny",
    "pretrained": False,
    "image_size": 96,
    "batch": 4,
    "epochs": EPOCHS,
    "warmup": 2,
    "angles": ANGLES,
    "ema": 0.5,
}


def submit(person: User) -> Experiment:
    team = Team.objects.get(memberships__user=person)
    spec = get_kind("detection").Spec.model_validate(SPEC)
    return services.submit(team=team, owner=person, kind="detection", name="Shapes", spec=spec)


def has_ended(experiment: Experiment) -> bool:
    experiment.refresh_from_db()
    return experiment.has_ended


def result(experiment: Experiment) -> dict[str, Any]:
    """All numbers that must not depend on what happened on the way."""
    experiment.refresh_from_db()
    assert experiment.status == Status.FINISHED, experiment.reason
    run = Run.objects.get(experiment=experiment)
    epochs = Epoch.objects.filter(run=run).order_by("epoch")
    return {
        "run": (run.epochs, run.best_epoch, run.best_ap, run.stopped),
        "epochs": [
            (row.epoch, row.values["losses"], row.values["ap75"], row.values["gates"], row.values["steps"])
            for row in epochs
        ],
        "scores": list(AngleScore.objects.filter(run=run).order_by("angle").values_list("angle", "ap", "details")),
        "predictions": list(
            Prediction.objects.filter(run=run).order_by("angle", "image").values_list("angle", "image", "values")
        ),
        "files": sorted(experiment.artifacts.values_list("name", flat=True)),
    }


def kill_runner(stack: Stack) -> None:
    wait_for(lambda: stack.runner("gpu")).kill()


def kill_worker(stack: Stack) -> None:
    stack.kill("gpu")
    stack.start("gpu")


def test_killed_while_training_and_while_testing(stack: Stack, person: User) -> None:
    kills: list[Callable[[Stack], None]] = [kill_runner, kill_worker]
    stack.start("gpu", "cpu", "reconciler")
    disturbed = submit(person)
    for epochs, kill in zip((1, 4), kills, strict=True):
        wait_for(lambda least=epochs: Epoch.objects.filter(experiment=disturbed).count() >= least, 120)
        kill(stack)
        assert Epoch.objects.filter(experiment=disturbed).count() < EPOCHS, "the kill came too late to test anything"
    wait_for(lambda: AngleScore.objects.filter(experiment=disturbed).exists(), 120)
    kill_runner(stack)
    assert AngleScore.objects.filter(experiment=disturbed).count() < len(ANGLES)
    wait_for(lambda: has_ended(disturbed), 120)
    quiet = submit(person)
    wait_for(lambda: has_ended(quiet), 120)
    first, second = result(disturbed), result(quiet)
    assert [row[0] for row in first["epochs"]] == list(range(1, EPOCHS + 1))
    assert [row[0] for row in first["scores"]] == ANGLES
    for part in second:
        assert first[part] == second[part], part
    assert disturbed.shards.get(stage="train").attempt >= 2
