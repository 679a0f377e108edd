"""Live sockets of share links: who is let in, what a chart hears, and that a frozen link hears nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from channels.layers import get_channel_layer
from django.utils import timezone

from jobs.announcer import group_name
from jobs.live import live_state
from jobs.models import Experiment, Status
from tests.webapp.sharing.conftest import Link
from tests.webapp.test_consumers import socket
from webapp.experiments.consumers import GONE, NOT_ALLOWED
from webapp.sharing.models import ShareLink

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]
LOCAL = [(b"origin", b"http://localhost"), (b"host", b"localhost")]


@pytest.fixture
def experiment(make_experiment: Callable[..., Experiment]) -> Experiment:
    return make_experiment(status=Status.RUNNING, n=2, c=1)


async def first(token: str) -> dict[str, Any]:
    """What the socket says first: "ready", or the code that it is closed with."""
    page = socket(f"/ws/s/{token}/", LOCAL)
    assert await page.connect()
    answer: dict[str, Any] = await page.receive_output(10)
    await page.disconnect() if answer["type"] == "websocket.send" else None
    return answer


def test_who_is_let_in(experiment: Experiment, link: Link) -> None:
    scope = {"experiment": str(experiment.code)}
    open_link, token = link("experiment", scope)
    _, comparison = link("comparison", {"query": f"e={experiment.code}"})
    assert asyncio.run(first(token))["type"] == "websocket.send"
    assert asyncio.run(first(comparison))["code"] == GONE  # it follows no single experiment
    assert asyncio.run(first("unknown"))["code"] == GONE
    now = timezone.now()
    for closed in ({"paused_at": now}, {"revoked_at": now}, {"expires_at": now}):
        ShareLink.objects.filter(pk=open_link.pk).update(paused_at=None, revoked_at=None, expires_at=None)
        ShareLink.objects.filter(pk=open_link.pk).update(**closed)
        assert asyncio.run(first(token))["code"] == NOT_ALLOWED


def test_a_chart_hears_of_itself_and_a_frozen_link_of_nothing(experiment: Experiment, link: Link) -> None:
    scope = {"experiment": str(experiment.code), "chart": "coverage"}
    _, chart = link("chart", scope)
    _, frozen = link("chart", scope, freeze=True)
    state = live_state(experiment)

    async def listen() -> tuple[dict[str, Any], bool]:
        pages = [socket(f"/ws/s/{token}/", LOCAL) for token in (chart, frozen)]
        for page in pages:
            assert await page.connect()
            assert await page.read() == {"type": "ready"}
        message = {"type": "experiment.changed", "state": state}
        await get_channel_layer().group_send(group_name(experiment.code), message)
        heard = await pages[0].read()
        quiet = await pages[1].receive_nothing(0.3)
        for page in pages:
            await page.disconnect()
        return heard, quiet

    heard, quiet = asyncio.run(listen())
    assert set(heard["state"]["kind"]) == {"curve", "samples", "extra", "stops", "total_problems", "kpis"}
    assert set(heard["state"]["kind"]["kpis"]) == {"first_success"}
    assert heard["state"]["metrics"]["series"] == {} and quiet
