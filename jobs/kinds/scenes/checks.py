"""What a Spec must satisfy beyond its own bounds, because it depends on the team, its sets, experiments or the disk."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.conf import settings

from jobs.kinds.base import SpecError
from jobs.kinds.data_sets import allowed_path
from jobs.kinds.scenes.models import SceneRun, SceneSet
from jobs.kinds.scenes.sizes import models
from jobs.kinds.scenes.spec import FREEDOOM, TRAINED, ScenesSpec
from jobs.models import Experiment

_NAMES = {"autoencoder": "scene auto-encoder", "latents": "latent auto-encoder", "diffusion": "diffusion model"}


def check_spec(spec: ScenesSpec, team: Any) -> list[SpecError]:
    """All that is wrong with a valid Spec in this team on this server; an empty list when it can be submitted."""
    errors: list[SpecError] = []
    for check in (_check_data, _check_start, _check_inception):
        try:
            check(spec, team)
        except SpecError as error:
            errors.append(error)
    return errors


def scene_set(spec: ScenesSpec, team: Any) -> SceneSet | None:
    """The team's set that a Spec means, None for a built-in one. Raises SpecError: another team's set is as good as no
    set."""
    if (code := spec.set_code) is None:
        return None
    found = SceneSet.objects.filter(code=code, team=team).first()
    if found is None:
        raise SpecError("data", "Your team has no such set. Choose another, or upload one.")
    return found


def has_doom() -> bool:
    """Whether this process could render Freedoom's maps."""
    return find_spec("vizdoom") is not None


def _check_data(spec: ScenesSpec, team: Any) -> None:
    found = scene_set(spec, team)
    if spec.data == FREEDOOM and not has_doom():
        raise SpecError("data", "ViZDoom is not installed here. Choose another set.")
    if found is None or not spec.train:
        return
    if found.status == SceneSet.Status.NEW:
        raise SpecError("data", f"{found.name} is not read yet. Its page says how that goes.")
    if found.status == SceneSet.Status.REFUSED:
        raise SpecError("data", f"{found.name} cannot be used: {found.reason}")


def started_from(spec: ScenesSpec, team: Any) -> Experiment | None:
    """The team's experiment whose stages are used, None where the Spec names none. Raises SpecError: another team's
    experiment is as good as none."""
    if not spec.start_from:
        return None
    found = Experiment.objects.filter(code=spec.start_from, team=team, kind="scenes").first()
    if found is None:
        raise SpecError("start_from", "Your team has no such scene experiment.")
    return found


def taken_stages(spec: ScenesSpec) -> list[str]:
    """The stages that come from `started_from`, in order."""
    names = list(TRAINED)
    return names[: names.index(spec.start_through) + 1] if spec.start_from else []


def _check_start(spec: ScenesSpec, team: Any) -> None:
    source = started_from(spec, team)
    if source is None:
        return
    theirs = ScenesSpec.model_validate(source.spec)
    done = set(
        SceneRun.objects.filter(experiment=source, stopped__in=["finished", "reused"]).values_list("stage", flat=True)
    )
    for stage in taken_stages(spec):
        if stage not in done:
            raise SpecError("start_from", f"{source.name} has no trained {_NAMES[stage]}.")
        # Whether the data has maps is not known yet; it is the same question for both.
        ours, other = models(spec, has_maps=True)[stage], models(theirs, has_maps=True)[stage]
        differing = [name for name in ours if ours[name] != other[name]]
        if differing or (stage == "diffusion" and _cameras(spec) != _cameras(theirs)):
            what = ", ".join(name.replace("_", " ") for name in differing) or "cameras"
            raise SpecError("start_from", f"Its {_NAMES[stage]} has other sizes ({what}): choose the same here.")
    if spec.image_size != theirs.image_size:
        raise SpecError("start_from", f"It was trained on pictures of {theirs.image_size} px: choose the same here.")


def _check_inception(spec: ScenesSpec, team: Any) -> None:
    inception_file(spec)


def inception_file(spec: ScenesSpec) -> Path | None:
    """The weights that FID needs, None where the Spec names none. Raises SpecError."""
    if not spec.inception:
        return None
    try:
        path = allowed_path(spec.inception, settings.MODEL_DIRS)
    except ValueError as error:
        raise SpecError("inception", f"{error} (CANOPY_MODEL_DIRS).") from None
    if not path.is_file():
        raise SpecError("inception", f"{path} is no file.")
    return path


def _cameras(spec: ScenesSpec) -> int:
    return spec.cameras if spec.draws_cameras else 0
