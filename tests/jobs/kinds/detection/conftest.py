"""Detection experiments small enough for a CPU test: rendered shapes, the tiny backbone."""

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
    "data": "builtin/shapes",
    "shapes": 8,
    "rules": ["ellipse"],
    "architectures": ["fcos"],
    "backbone": "tiny",
    "pretrained": False,
    "image_size": 64,
    "batch": 4,
    "epochs": 2,
    "warmup": 2,
    "angles": [0.0, 20.0],
    "learning_rate": 3e-3,
    "ema": 0.5,
}


@pytest.fixture(autouse=True)
def _broker(broker: None) -> Iterator[None]:
    yield
    announcer.settle(5)


@pytest.fixture
def submit_detection(team: Team, alice: User) -> Callable[..., Experiment]:
    """``submit_detection(rules=[...], ...)``: TINY with changes."""

    def submit(**changes: Any) -> Experiment:
        spec = get_kind("detection").Spec.model_validate(TINY | changes)
        return services.submit(team=team, owner=alice, kind="detection", name="Shapes", spec=spec)

    return submit
