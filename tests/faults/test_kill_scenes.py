"""kill -9 in the middle of a scene experiment: afterwards every point of every curve is there once, and all numbers and
weights equal those of an experiment that nobody disturbed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobs import services
from jobs.kinds import get_kind
from jobs.kinds.scenes.models import GeneratedScene, HeldOutView, LossPoint, SceneRun
from jobs.models import Experiment, Status
from tests.jobs.kinds.scenes.conftest import TINY
from tests.stack import Stack, wait_for
from webapp.accounts.models import Team, User

pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True)]
STEPS = {"autoencoder": 40, "latents": 5, "diffusion": 40}
SPEC = TINY | {
    "autoencoder_steps": STEPS["autoencoder"],
    "latent_steps": STEPS["latents"],
    "diffusion_steps": STEPS["diffusion"],
    "evaluate": False,
}


def submit(person: User) -> Experiment:
    spec = get_kind("scenes").Spec.model_validate(SPEC)
    team = Team.objects.get(memberships__user=person)
    return services.submit(team=team, owner=person, kind="scenes", name="Rooms", spec=spec)


def has_ended(experiment: Experiment) -> bool:
    experiment.refresh_from_db()
    return experiment.has_ended


def content(experiment: Experiment, name: str) -> bytes:
    with experiment.artifacts.get(name=name).file.open("rb") as file:
        return bytes(file.read())


def result(experiment: Experiment) -> dict[str, Any]:
    """All numbers that must not depend on what happened on the way."""
    experiment.refresh_from_db()
    assert experiment.status == Status.FINISHED, experiment.reason
    points = LossPoint.objects.filter(experiment=experiment).order_by("run", "step")
    scenes = GeneratedScene.objects.filter(experiment=experiment).order_by("number")
    named = [*(f"{stage}.safetensors" for stage in STEPS), *(f"{scene.folder}/latents.safetensors" for scene in scenes)]
    return {
        "points": list(points.values_list("run__stage", "step", "values")),
        "views": list(
            HeldOutView.objects.filter(experiment=experiment)
            .order_by("index")
            .values_list("scene", "view", "step", "psnr", "depth_error")
        ),
        "scenes": [(scene.number, scene.state, scene.previews, scene.values["cameras"]) for scene in scenes],
        "weights": [content(experiment, name) for name in named],
        "files": sorted(experiment.artifacts.values_list("name", flat=True)),
    }


def kill_runner(stack: Stack) -> None:
    wait_for(lambda: stack.runner("gpu")).kill()


def kill_worker(stack: Stack) -> None:
    stack.kill("gpu")
    stack.start("gpu")


def step_of(experiment: Experiment, stage: str) -> int:
    points = LossPoint.objects.filter(experiment=experiment, run__stage=stage)
    return points.order_by("-step").values_list("step", flat=True).first() or 0


def test_killed_while_training_and_while_drawing(stack: Stack, person: User) -> None:
    kills: list[tuple[str, Callable[[Stack], None]]] = [
        ("autoencoder", kill_worker),
        ("diffusion", kill_runner),
    ]
    stack.start("gpu", "cpu", "reconciler")
    disturbed = submit(person)
    for stage, kill in kills:
        wait_for(lambda at=stage: step_of(disturbed, at) >= 4, 120)
        kill(stack)
        assert step_of(disturbed, stage) < STEPS[stage], "the kill came too late to test anything"
    wait_for(lambda: GeneratedScene.objects.filter(experiment=disturbed, state="drawn").exists(), 120)
    kill_runner(stack)
    wait_for(lambda: has_ended(disturbed), 120)
    assert {run.stopped for run in SceneRun.objects.filter(experiment=disturbed)} == {"finished"}
    quiet = _again(person)
    wait_for(lambda: has_ended(quiet), 120)
    assert {run.stopped for run in SceneRun.objects.filter(experiment=quiet)} == {"finished"}, "it must train itself"
    first, second = result(disturbed), result(quiet)
    assert len(first["points"]) == sum(STEPS.values())
    for part in second:
        assert first[part] == second[part], part
    assert all(disturbed.shards.get(stage=stage).attempt >= 2 for stage, _ in kills)


def _again(person: User) -> Experiment:
    """The same experiment in another team: in the same one, what is trained would be used again."""
    other = Team.objects.create(name="Second lab")
    spec = get_kind("scenes").Spec.model_validate(SPEC)
    return services.submit(team=other, owner=person, kind="scenes", name="Rooms", spec=spec)
