"""Scene experiments small enough for a CPU test: two drawn rooms, 16 x 16 x 4 voxels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jobs import services
from jobs.announcer import announcer
from jobs.kinds import get_kind
from jobs.models import Experiment
from webapp.accounts.models import Team, User

TINY: dict[str, Any] = {
    "data": "builtin/rooms",
    "rooms": 2,
    "grid": "4x16x16",
    "image_size": 32,
    "stride": 4,
    "channels": 4,
    "bins": 8,
    "samples": 12,
    "width": 8,
    "latent_width": 8,
    "g": 4,
    "c_channels": 2,
    "f_channels": 2,
    "codebook": 16,
    "denoiser_width": 8,
    "cameras": 2,
    "autoencoder_steps": 6,
    "latent_steps": 5,
    "diffusion_steps": 5,
    "scene_batch": 1,
    "views_given": 3,
    "views_asked": 1,
    "diffusion_batch": 2,
    "warmup": 2,
    "ema": 0.5,
    "scenes": 2,
    **{f"steps_{group}": 3 for group in ("g", "c", "f")},
}


@pytest.fixture(autouse=True)
def _broker(broker: None) -> Iterator[None]:
    yield
    announcer.settle(5)


@pytest.fixture
def submit_scenes(team: Team, alice: User) -> Callable[..., Experiment]:
    """``submit_scenes(groups="c", ...)``: TINY with changes."""

    def submit(**changes: Any) -> Experiment:
        spec = get_kind("scenes").Spec.model_validate(TINY | changes)
        return services.submit(team=team, owner=alice, kind="scenes", name="Rooms", spec=spec)

    return submit
