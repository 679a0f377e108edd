"""Server-sent events over a real broker: the snapshot, what is announced after it, the end, and who may listen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.db import connection
from django.test import AsyncClient
from django.utils import timezone

from jobs.announcer import group_name
from jobs.live import live_state
from jobs.models import Experiment, next_seq
from webapp.accounts.models import User
from webapp.api import events
from webapp.api.models import ApiToken

Make = Callable[..., Experiment]
Tokens = Callable[..., tuple[ApiToken, str]]
in_thread = database_sync_to_async
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]
WAIT = 10.0  # s; how long an event may take before the test fails


async def open_stream(experiment: Experiment, text: str, **headers: str) -> AsyncIterator[str]:
    """The events, each as its text."""
    sent = {"Authorization": f"Bearer {text}", "Accept-Encoding": "gzip"} | headers
    answer = await AsyncClient().get(f"/api/v1/experiments/{experiment.code}/events", headers=sent)
    assert answer.status_code == 200 and answer["Content-Type"] == "text/event-stream"
    assert "Content-Encoding" not in answer and answer["Cache-Control"] == "no-cache"
    async with aclosing(answer.streaming_content) as pieces:
        async for piece in pieces:
            for event in piece.decode().split("\n\n")[:-1]:
                yield event + "\n\n"


async def read(stream: AsyncIterator[str]) -> tuple[str, int, dict[str, Any]]:
    """(event's name, id, data) of the next event that is no comment."""
    while (text := await asyncio.wait_for(anext(stream), WAIT)).startswith(":"):
        pass
    lines = dict(line.split(": ", 1) for line in text.strip().split("\n"))
    return lines["event"], int(lines["id"]), json.loads(lines["data"])


def change(experiment: Experiment, **values: Any) -> int:
    seq = next_seq(experiment.pk)
    Experiment.objects.filter(pk=experiment.pk).update(**values)
    return seq


async def announce(experiment: Experiment, after: int) -> None:
    state = await in_thread(live_state)(experiment, after)
    await get_channel_layer().group_send(group_name(experiment.code), {"type": "experiment.changed", "state": state})


async def test_snapshot_then_changes_then_the_end(make_experiment: Make, token_for: Tokens, vera: User) -> None:
    experiment = await in_thread(make_experiment)(n=4, c=1, status="running")
    _, text = await in_thread(token_for)(vera, scope="read")
    stream = open_stream(experiment, text)
    name, seq, state = await read(stream)
    assert (name, seq, state["after"], len(state["kind"]["problems"])) == ("state", 0, 0, 0)
    await in_thread(change)(experiment, name="Renamed")
    await announce(experiment, after=0)
    await announce(experiment, after=0)  # old news: not sent twice
    name, seq, state = await read(stream)
    assert (name, seq, state["name"]) == ("state", 1, "Renamed")
    await in_thread(change)(experiment, name="Missed")
    await in_thread(change)(experiment, status="finished")
    await announce(experiment, after=2)  # the state of seq 2 was lost on the way
    name, seq, state = await read(stream)
    assert (name, seq, state["after"], state["name"]) == ("state", 3, 1, "Missed")
    assert (await read(stream))[0] == "end"
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_an_open_stream_holds_no_connection(
    make_experiment: Make, token_for: Tokens, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = await in_thread(make_experiment)(status="running")
    stream = open_stream(experiment, (await in_thread(token_for)(alice))[1])
    await read(stream)
    assert await sync_to_async(lambda: connection.connection)() is None
    await stream.aclose()  # type: ignore[attr-defined]


async def test_a_client_that_comes_back_gets_what_it_missed(
    make_experiment: Make, token_for: Tokens, alice: User
) -> None:
    experiment = await in_thread(make_experiment)(status="finished")
    for _ in range(3):
        await in_thread(change)(experiment)
    stream = open_stream(experiment, (await in_thread(token_for)(alice))[1], **{"Last-Event-ID": "2"})
    _, seq, state = await read(stream)
    assert (seq, state["after"]) == (3, 2)
    await stream.aclose()  # type: ignore[attr-defined]


async def test_an_outage_of_the_broker_is_caught_up_with(make_experiment: Make, token_for: Tokens, alice: User) -> None:
    experiment = await in_thread(make_experiment)(status="running")
    stream = open_stream(experiment, (await in_thread(token_for)(alice))[1])
    await read(stream)
    await in_thread(change)(experiment, name="While away")
    await get_channel_layer().group_send(group_name(experiment.code), {"type": "redis.reconnect"})
    assert (await read(stream))[2]["name"] == "While away"
    await stream.aclose()  # type: ignore[attr-defined]


async def test_a_revoked_token_hears_no_more(
    make_experiment: Make, token_for: Tokens, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "RECHECK_S", 0.0)
    monkeypatch.setattr(events, "PULSE_S", 0.05)
    experiment = await in_thread(make_experiment)(status="running")
    token, text = await in_thread(token_for)(alice)
    stream = open_stream(experiment, text)
    await read(stream)
    assert await asyncio.wait_for(anext(stream), WAIT) == ": still here\n\n"
    await in_thread(ApiToken.objects.filter(pk=token.pk).update)(revoked_at=timezone.now())
    async with asyncio.timeout(WAIT):
        async for piece in stream:
            assert piece.startswith(":")
