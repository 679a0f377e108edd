"""A sampling experiment on a tiny random model, for tests that kill processes under it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs import services
from jobs.kinds import get_kind
from jobs.models import Experiment
from tests.stack import Stack
from tests.tiny_model import build_tiny_model
from webapp.accounts.models import Membership, Role, Team, User

PROBLEMS, SAMPLES = 6, 96


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    build_tiny_model(folder / "tiny")
    return folder


@pytest.fixture
def person(stack: Stack) -> User:
    user = User.objects.create_user("alice@example.org", "Alice", "coverage grows with k")
    Membership.objects.create(team=Team.objects.create(name="Marsh lab"), user=user, role=Role.OWNER)
    return user


@pytest.fixture
def submit_sampling(stack: Stack, person: User, model_folder: Path) -> Callable[..., Experiment]:
    """Submit PROBLEMS x SAMPLES on the tiny model, in several shards; settings may be added."""
    stack.environment["CANOPY_MODEL_DIRS"] = str(model_folder)

    def submit(**more: Any) -> Experiment:
        spec = get_kind("sampling").Spec.model_validate(
            {
                "model": str(model_folder / "tiny"),
                "problems": "bundled/arithmetic-60",
                "limit": PROBLEMS,
                "samples": SAMPLES,
                "max_tokens": 8,
                "chat": False,
                "few_shot": [],
                **more,
            }
        )
        team = Team.objects.get(memberships__user=person)
        return services.submit(team=team, owner=person, kind="sampling", name="Tiny", spec=spec)

    return submit
