"""Tokens and a client that sends one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core import signals
from django.db import close_old_connections
from django.test import Client

from webapp.accounts.models import Team, User
from webapp.api.models import ApiToken, Scope, make_token

Api = Callable[..., Client]


@pytest.fixture
def token_for() -> Callable[..., tuple[ApiToken, str]]:
    """``token_for(user, team=None, scope="write", days=30)``; without a user it is the team's service account."""

    def make(
        user: User | None, *, team: Team | None = None, scope: str = Scope.WRITE, days: int | None = 30
    ) -> tuple[ApiToken, str]:
        maker = user or User.objects.get(memberships__team=team, memberships__role="owner")
        return make_token(name="nightly", scope=scope, created_by=maker, user=user, team=team, days=days)

    return make


@pytest.fixture
def api(token_for: Callable[..., tuple[ApiToken, str]]) -> Api:
    """A client that acts as ``api(user, ...)`` says; the arguments are those of ``token_for``."""

    def client(user: User | None, **how: Any) -> Client:
        return Client(headers={"Authorization": f"Bearer {token_for(user, **how)[1]}"})

    return client


@pytest.fixture
def one_connection() -> Iterator[None]:
    """A request of a real server ends with its connection; here that is the one that the test's transaction is in."""
    moments = (signals.request_started, signals.request_finished)
    for moment in moments:
        moment.disconnect(close_old_connections)
    yield
    for moment in moments:
        moment.connect(close_old_connections)
