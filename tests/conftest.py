"""People, a team and experiments that the tests of pages and jobs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from jobs.kinds import get_kind
from jobs.kinds.sampling.models import Problem
from jobs.models import Experiment, Status
from webapp.accounts.models import Membership, Role, Team, User

PASSWORD = "coverage grows with k"


@pytest.fixture(autouse=True)
def quick_passwords(settings: Any) -> None:
    """A hasher that is slow on purpose would be most of the time of these tests."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def make_user(name: str) -> User:
    return User.objects.create_user(f"{name.lower()}@example.org", name, PASSWORD)


@pytest.fixture
def team(db: None) -> Team:
    return Team.objects.create(name="Marsh lab")


def _member(team: Team, name: str, role: str) -> User:
    user = make_user(name)
    Membership.objects.create(team=team, user=user, role=role)
    return user


@pytest.fixture
def alice(team: Team) -> User:
    """Owns the team."""
    return _member(team, "Alice", Role.OWNER)


@pytest.fixture
def bob(team: Team) -> User:
    """Runs experiments in the team."""
    return _member(team, "Bob", Role.MEMBER)


@pytest.fixture
def vera(team: Team) -> User:
    """Reads what the team does."""
    return _member(team, "Vera", Role.VIEWER)


@pytest.fixture
def charlie(db: None) -> User:
    """Owns another team and is an outsider to ``team``."""
    return _member(Team.objects.create(name="Elsewhere"), "Charlie", Role.OWNER)


@pytest.fixture
def as_user() -> Callable[[User], Client]:
    """A client that is signed in as the given person."""

    def sign_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture
def make_experiment(team: Team, alice: User) -> Callable[..., Experiment]:
    """``make_experiment(problems=3, n=0, c=0, **fields)``: an experiment as it is in the database, no job behind it."""

    def make(
        *, problems: int = 3, n: int = 0, c: int = 0, spec: dict[str, Any] | None = None, **fields: Any
    ) -> Experiment:
        spec_type = get_kind("sampling").Spec
        full_spec = spec_type.model_validate(spec or {}).model_dump(mode="json")
        values = {
            "team": team,
            "owner": alice,
            "kind": "sampling",
            "name": "Arithmetic",
            "status": Status.QUEUED,
            **fields,
        }
        experiment = Experiment.objects.create(spec=full_spec, **values)
        Problem.objects.bulk_create(
            Problem(
                experiment=experiment, index=i, uid=f"p{i}", question=f"What is {i} + {i}?", answer=str(2 * i), n=n, c=c
            )
            for i in range(problems)
        )
        return experiment

    return make
