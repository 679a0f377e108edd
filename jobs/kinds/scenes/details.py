"""What pages ask for piece by piece: pictures."""

from __future__ import annotations

from jobs.kinds.scenes.models import HeldOutView, SceneSet, SetPicture
from jobs.models import Experiment

PARTS = ("input", "input_depth", "picture", "depth")


def held_out_picture(experiment: Experiment, index: int, part: str) -> bytes | None:
    """A JPEG of a held-out view: one of PARTS. None where there is none."""
    if part not in PARTS:
        return None
    row = HeldOutView.objects.filter(experiment=experiment, index=index).values_list(part, flat=True).first()
    return bytes(row) if row else None


def set_picture(data_set: SceneSet, scene: int, view: int) -> bytes | None:
    """The JPEG of a view (its camera's place) of a scene (its index) of a team's set; None where there is none."""
    row = SetPicture.objects.filter(scene__data_set=data_set, scene__index=scene, view=view).first()
    return bytes(row.jpeg) if row else None
