"""A team's sets of posed pictures (jobs.kinds.data_sets)."""

from __future__ import annotations

from django.conf import settings

from jobs.kinds.data_sets import Sets
from jobs.kinds.scenes.models import SceneSet
from jobs.kinds.scenes.spec import ScenesSpec

SETS = Sets(
    model=SceneSet,
    kind="scenes",
    reading=lambda made: ScenesSpec.model_validate({"data": f"set/{made.code}", "train": False}),
    reading_title="pictures and cameras",
    content="pictures and cameras",
    folders=lambda: settings.SCENES_DIRS,
    folders_setting="CANOPY_SCENES_DIRS",
    most_bytes=lambda: settings.SCENES_MAX_BYTES,
)
