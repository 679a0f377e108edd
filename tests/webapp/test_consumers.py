"""Live sockets over a real broker: who may listen, what arrives, and what happens when a page is slow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from asgiref.testing import ApplicationCommunicator
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.test import Client

from jobs.announcer import group_name
from jobs.live import live_state
from jobs.models import Experiment
from tests.webapp.test_live_page import share
from webapp.accounts.memberships import remove
from webapp.accounts.models import Membership, User
from webapp.asgi import application
from webapp.experiments import consumers
from webapp.sharing.models import ShareLink

Make = Callable[..., Experiment]
in_thread = database_sync_to_async
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

WAIT = 10  # s; how long a message may take before the test fails


def headers(user: User | None, origin: str = "http://localhost") -> list[tuple[bytes, bytes]]:
    found = [(b"origin", origin.encode()), (b"host", b"localhost")]
    if user is not None:
        client = Client()
        client.force_login(user)
        found.append((b"cookie", f"sessionid={client.cookies['sessionid'].value}".encode()))
    return found


class Socket(ApplicationCommunicator):
    """A browser's end of a socket. (channels.testing has one, but importing it needs the daphne server.)"""

    async def connect(self) -> bool:
        await self.send_input({"type": "websocket.connect"})
        return (await self.receive_output(WAIT))["type"] == "websocket.accept"

    async def read(self) -> dict[str, Any]:
        answer = await self.receive_output(WAIT)
        assert answer["type"] == "websocket.send", answer
        return json.loads(answer["text"])

    async def disconnect(self) -> None:
        await self.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.wait(WAIT)


def socket(path: str, sent: list[tuple[bytes, bytes]]) -> Socket:
    scope = {"type": "websocket", "path": path, "query_string": b"", "headers": sent, "subprotocols": []}
    return Socket(application, scope)


async def opened(path: str, user: User | None) -> Socket:
    """A socket that is subscribed."""
    page = socket(path, await in_thread(headers)(user))
    assert await page.connect()
    assert await page.read() == {"type": "ready"}
    return page


async def close_code(page: Socket) -> int:
    answer = await page.receive_output(WAIT)
    assert answer["type"] == "websocket.close", answer
    return int(answer["code"])


async def refused(path: str, user: User | None) -> int:
    """Accepted first, so that the browser sees the code, then closed."""
    page = socket(path, await in_thread(headers)(user))
    assert await page.connect()
    return await close_code(page)


async def announce(experiment: Experiment, after: int = 0) -> dict[str, Any]:
    state = await in_thread(live_state)(experiment, after)
    await get_channel_layer().group_send(group_name(experiment.code), {"type": "experiment.changed", "state": state})
    return state


async def test_a_member_receives_what_is_announced(make_experiment: Make, vera: User) -> None:
    experiment = await in_thread(make_experiment)(n=4, c=1)
    page = await opened(f"/ws/experiments/{experiment.code}/", vera)
    other = await in_thread(make_experiment)()
    await announce(other)
    state = await announce(experiment)
    assert await page.read() == {"type": "state", "state": state}
    await page.disconnect()


async def test_a_share_link_receives_results_only(make_experiment: Make) -> None:
    experiment = await in_thread(make_experiment)(n=4, c=1, reason="/home/alice/model is missing")
    page = await opened(f"/ws/s/{await in_thread(share)(experiment)}/", None)
    await announce(experiment)
    state = (await page.read())["state"]
    assert state["kind"]["curve"]["k"]
    assert (state["reason"], state["log"], state["workers"]) == ("", [], [])
    await page.disconnect()


async def test_refusals_have_codes(make_experiment: Make, bob: User, charlie: User) -> None:
    experiment = await in_thread(make_experiment)()
    here = f"/ws/experiments/{experiment.code}/"
    assert await refused(here, None) == consumers.SIGNED_OUT
    assert await refused(here, charlie) == consumers.GONE
    assert await refused(f"/ws/experiments/{uuid4()}/", bob) == consumers.GONE
    assert await refused("/ws/s/unknown-token/", bob) == consumers.GONE


async def test_another_sites_page_gets_no_socket(make_experiment: Make, bob: User) -> None:
    experiment = await in_thread(make_experiment)()
    sent = await in_thread(headers)(bob, "http://evil.example")
    assert not await socket(f"/ws/experiments/{experiment.code}/", sent).connect()


async def test_losing_membership_closes_the_socket(make_experiment: Make, bob: User) -> None:
    experiment = await in_thread(make_experiment)()
    page = await opened(f"/ws/experiments/{experiment.code}/", bob)
    await in_thread(lambda: remove(Membership.objects.get(user=bob)))()
    assert await close_code(page) == consumers.NOT_ALLOWED


async def test_a_revoked_link_closes_the_socket(make_experiment: Make) -> None:
    experiment = await in_thread(make_experiment)()
    page = await opened(f"/ws/s/{await in_thread(share)(experiment)}/", None)
    link = await in_thread(ShareLink.objects.get)()
    await in_thread(ShareLink.objects.update)(revoked_at=link.created_at)
    await get_channel_layer().group_send(f"share.{link.pk}", {"type": "access.changed"})
    assert await close_code(page) == consumers.NOT_ALLOWED


async def test_permission_is_checked_again_without_being_told(
    make_experiment: Make, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "RECHECK_SECONDS", 0.05)
    experiment = await in_thread(make_experiment)()
    page = await opened(f"/ws/experiments/{experiment.code}/", bob)

    def sign_out_everywhere() -> None:
        from django.contrib.sessions.models import Session

        Session.objects.all().delete()

    await in_thread(sign_out_everywhere)()
    assert await close_code(page) == consumers.SIGNED_OUT


async def test_what_a_page_sends_changes_nothing(make_experiment: Make, bob: User) -> None:
    experiment = await in_thread(make_experiment)()
    page = await opened(f"/ws/experiments/{experiment.code}/", bob)
    for text in ('{"type": "experiment.changed", "state": {}}', "not json", '{"type": "cancel"}'):
        await page.send_input({"type": "websocket.receive", "text": text})
    await page.send_input({"type": "websocket.receive", "bytes": b"\x00\xff"})
    state = await announce(experiment)
    assert (await page.read())["state"]["seq"] == state["seq"]
    await page.disconnect()


async def test_after_a_broker_outage_the_page_fetches_what_it_missed(make_experiment: Make, bob: User) -> None:
    experiment = await in_thread(make_experiment)()
    page = await opened(f"/ws/experiments/{experiment.code}/", bob)
    await get_channel_layer().group_send(group_name(experiment.code), {"type": "redis.reconnect"})
    assert await page.read() == {"type": "refetch"}
    await page.disconnect()


async def test_a_slow_page_is_told_to_fetch_instead_of_piling_up() -> None:
    consumer = consumers.ShareConsumer()
    consumer.scope = {"url_route": {"kwargs": {"token": "a-token"}}}
    consumer._waiting, consumer._stale, consumer._wake = consumers.deque(), False, asyncio.Event()
    state = {"workers": [], "log": [], "failures": [], "waiting": None, "seq": 1, "now": ""}
    for _ in range(1000):
        await consumer.experiment_changed({"state": state})
        assert len(consumer._waiting) <= consumers.MOST_WAITING
    sent: list[dict[str, Any]] = []

    async def keep(content: dict[str, Any], close: bool = False) -> None:
        sent.append(content)

    consumer.send_json = keep
    sender = asyncio.create_task(consumer._send_waiting())
    while not sent:
        await asyncio.sleep(0)
    sender.cancel()
    assert sent == [{"type": "refetch"}]
