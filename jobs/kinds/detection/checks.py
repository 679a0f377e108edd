"""What a Spec must satisfy beyond its own bounds, because it depends on the team, its data set or the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings

from engine.detection.rules import LabelRule
from jobs.kinds.base import SpecError
from jobs.kinds.data_sets import allowed_path
from jobs.kinds.detection.data import has_doom
from jobs.kinds.detection.models import DataSet
from jobs.kinds.detection.plan import runs
from jobs.kinds.detection.spec import DOOM, MAX_RUNS, DetectionSpec

MAX_EPOCHS = 1_000
_WEIGHTS = (".pth", ".safetensors")


def check_spec(spec: DetectionSpec, team: Any) -> list[SpecError]:
    """All that is wrong with a valid Spec in this team on this server; an empty list when it can be submitted."""
    errors: list[SpecError] = []
    for check in (_check_data, _check_size, _check_weights):
        try:
            check(spec, team)
        except SpecError as error:
            errors.append(error)
    return errors


def data_set(spec: DetectionSpec, team: Any) -> DataSet | None:
    """The team's data set that a Spec means, None for a built-in one. Raises SpecError: another team's set is as good
    as no set."""
    if (code := spec.set_code) is None:
        return None
    found = DataSet.objects.filter(code=code, team=team).first()
    if found is None:
        raise SpecError("data", "Your team has no such data set. Choose another, or upload one.")
    return found


def train_images(spec: DetectionSpec, found: DataSet | None) -> int:
    """Images that a run trains on. The set's own parts count where it has them. Raises SpecError."""
    if spec.data == DOOM:
        raise SpecError(
            "images", "How many pictures there are is known once they are drawn: give the budget in epochs."
        )
    if found is None:
        return spec.shapes
    counts = found.counts
    if counts.get("parted"):
        return int(counts["train"])
    images = int(counts.get("images", 1))
    return max(1, round(images * (1 - spec.val_share)))


def planned_epochs(spec: DetectionSpec, found: DataSet | None) -> int:
    """The budget in epochs. Raises SpecError when that is too many."""
    if spec.images is None:
        return spec.epochs
    epochs = -(-spec.images // train_images(spec, found))
    if epochs > MAX_EPOCHS:
        raise SpecError("images", f"That is {epochs:,} epochs of this data set; at most {MAX_EPOCHS:,} are possible.")
    return epochs


def _check_data(spec: DetectionSpec, team: Any) -> None:
    found = data_set(spec, team)
    if spec.data == DOOM and not has_doom():
        raise SpecError("data", "ViZDoom is not installed here. Choose another data set.")
    if found is None or not spec.train:
        return
    if found.status == DataSet.Status.NEW:
        raise SpecError("data", f"{found.name} is not read yet. Its page says how that goes.")
    if found.status == DataSet.Status.REFUSED:
        raise SpecError("data", f"{found.name} cannot be used: {found.reason}")
    if not found.has_masks and any(LabelRule.parse(rule).needs_masks for rule in spec.upright_rules):
        raise SpecError("rules", f"Perfect labels need a mask for every object, and {found.name} lacks some.")


def _check_size(spec: DetectionSpec, team: Any) -> None:
    if spec.train and (count := len(runs(spec))) > MAX_RUNS:
        raise SpecError("seeds", f"That makes {count:,} runs; at most {MAX_RUNS} are possible. Compare less at once.")
    try:
        found = data_set(spec, team)
    except SpecError:
        return  # _check_data says it
    planned_epochs(spec, found)


def _check_weights(spec: DetectionSpec, team: Any) -> None:
    if spec.train and spec.uses_weights and spec.weights:
        weights_file(spec)


def weights_file(spec: DetectionSpec) -> Path | None:
    """The file of backbone weights, None for those that come with Canopy. Raises SpecError."""
    if not spec.uses_weights or not spec.weights:
        return None
    try:
        path = allowed_path(spec.weights, settings.MODEL_DIRS)
    except ValueError as error:
        raise SpecError("weights", f"{error} (CANOPY_MODEL_DIRS).") from None
    if path.suffix not in _WEIGHTS or not path.is_file():
        raise SpecError("weights", f"{path} is no file that ends in {' or '.join(_WEIGHTS)}.")
    return path
