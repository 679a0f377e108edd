"""Broadcasts: what pages receive, how often, and after an outage."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer

from jobs import live, services
from jobs.announcer import TURN_MS, Announcer, announcer, group_name
from jobs.models import Experiment
from webapp.launcher.processes import Child

pytestmark = pytest.mark.django_db(transaction=True)
Submit = Callable[..., Experiment]


async def listen(experiment: Experiment) -> tuple[Any, str]:
    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add(group_name(experiment.code), channel)
    return layer, channel


async def receive_until(layer: Any, channel: str, enough: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    states = []
    while not states or not enough(states[-1]):
        event = await asyncio.wait_for(layer.receive(channel), 20)
        if event["type"] == "experiment.changed":
            states.append(event["state"])
    return states


async def test_a_commit_is_broadcast_as_the_change_since_the_last(submit: Submit) -> None:
    experiment = await database_sync_to_async(submit)()
    layer, channel = await listen(experiment)
    await database_sync_to_async(services.rename)(experiment=experiment, name="First")
    first = (await receive_until(layer, channel, lambda state: state["name"] == "First"))[-1]
    await database_sync_to_async(services.rename)(experiment=experiment, name="Second")
    second = (await receive_until(layer, channel, lambda state: state["name"] == "Second"))[-1]
    assert second["after"] == first["seq"] < second["seq"]
    assert [line["text"] for line in second["log"]] == ["Renamed to Second."]


async def test_at_most_one_broadcast_per_turn_and_the_last_change_is_never_lost(submit: Submit) -> None:
    """Two processes (here: two announcers) mark the experiment far more often than pages are told."""
    experiment = await database_sync_to_async(submit)()
    layer, channel = await listen(experiment)
    others = Announcer()
    marks = 0

    def change() -> float:
        nonlocal marks
        began = time.monotonic()
        for i in range(40):
            services.rename(experiment=experiment, name=f"Name {i}")
            others.mark(experiment.pk)
            marks += 2
            time.sleep(0.01)
        return time.monotonic() - began

    lasted, states = await asyncio.gather(
        database_sync_to_async(change)(), receive_until(layer, channel, lambda state: state["name"] == "Name 39")
    )
    await database_sync_to_async(others.settle)(5)
    turns = (lasted + 2) * 1000 / TURN_MS
    assert len(states) <= turns < marks
    merged = [line["text"] for line in states[-1]["log"]]
    assert merged[-1] == "Renamed to Name 39."


async def test_after_an_outage_a_page_learns_that_it_missed_something(submit: Submit, valkey: Child) -> None:
    """A broadcast sent before the page's process is subscribed again is lost. Without any further change another one
    follows, whose ``after`` is beyond what the page has, so the page asks for the rest."""
    experiment = await database_sync_to_async(submit)()
    layer, channel = await listen(experiment)
    before = (await database_sync_to_async(live.live_state)(experiment))["seq"]
    await database_sync_to_async(valkey.stop)(5)
    await database_sync_to_async(services.rename)(experiment=experiment, name="While away")
    await database_sync_to_async(valkey.start)()
    states = await receive_until(layer, channel, lambda state: state["name"] == "While away")
    now = (await database_sync_to_async(live.live_state)(experiment))["seq"]
    assert states[-1]["seq"] == now > before


def test_marking_never_blocks_and_settles(submit: Submit) -> None:
    experiment = submit()
    for _ in range(1000):
        live.announce(experiment.pk)
    assert announcer.settle(5)
    assert sum(thread.name == "announcer" for thread in threading.enumerate()) <= 2


def test_an_experiment_that_is_gone_is_no_trouble(submit: Submit) -> None:
    experiment = submit()
    announcer.settle(5)
    Experiment.objects.all().delete()
    live.announce(experiment.pk)
    assert announcer.settle(5)
