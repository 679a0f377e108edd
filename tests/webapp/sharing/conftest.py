"""Links to everything that can be shared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient

from webapp.accounts.models import Team, User
from webapp.sharing.models import ShareLink
from webapp.sharing.services import Options, make_link

Link = Callable[..., tuple[ShareLink, str]]


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Any) -> None:
    settings.MEDIA_ROOT = tmp_path


@pytest.fixture
def link(team: Team, alice: User) -> Link:
    """``link(target, scope, **options)``: the link and its token."""

    def make(target: str, scope: dict[str, Any], **options: Any) -> tuple[ShareLink, str]:
        return make_link(team, Options(target, scope, **options), by=alice)

    return make


def get(path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    """Status, whole body and headers of what a stranger gets, read as servers read it."""

    async def send() -> tuple[int, bytes, dict[str, str]]:
        answer = await AsyncClient().get(path, headers=headers)
        body = b"".join([piece async for piece in answer.streaming_content]) if answer.streaming else answer.content
        return answer.status_code, body, dict(answer.headers)

    return async_to_sync(send)()
