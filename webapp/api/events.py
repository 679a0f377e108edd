"""Live events of an experiment as server-sent events: the same states, over the same broadcast, as the page's socket.

An event's id is its state's seq. A client that comes back sends it as Last-Event-ID and gets what it missed.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Any, ParamSpec, TypeVar
from uuid import UUID

from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.core.exceptions import PermissionDenied
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection
from django.http import Http404, HttpRequest, StreamingHttpResponse
from ninja import Header, Router
from redis.exceptions import RedisError

from jobs.announcer import group_name
from jobs.live import live_state
from jobs.models import ENDED, Experiment
from webapp.api.auth import StreamTokenAuth, reach, token_of
from webapp.api.models import ApiToken
from webapp.api.results import LARGEST, After

P = ParamSpec("P")
T = TypeVar("T")
router = Router(tags=["results"], auth=StreamTokenAuth())
PULSE_S = 15.0  # a comment this often keeps proxies from closing a silent stream
RECHECK_S = 60.0  # how long a revoked token, or a person who left, goes on receiving at most
EXAMPLE = 'id: 41\nevent: state\ndata: {"after": 40, "seq": 41, "status": "running", "kind": {}}\n\n'

EVENT = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "The state's seq."},
        "event": {"enum": ["state", "end"]},
        "data": {"type": "string", "description": "A live state as JSON."},
    },
}


@router.get(
    "/experiments/{uuid:code}/events",
    operation_id="stream_events",
    openapi_extra={
        "responses": {
            200: {
                "description": "A stream of states until the experiment ends; event: end is the last.",
                "content": {"text/event-stream": {"schema": EVENT, "example": EXAMPLE}},
            }
        }
    },
)
async def stream_events(
    request: HttpRequest,
    code: UUID,
    after: After = 0,
    last_event_id: Annotated[
        int | None, Header(alias="Last-Event-ID", ge=0, le=LARGEST, description="Takes the place of ?after=.")
    ] = None,
) -> StreamingHttpResponse:
    """Live states as they happen, each with what changed since the one before (see the live state). A comment every
    15 s shows that the stream lives."""
    page = await sync_to_async(reach)(request, code)
    stream = _events(request, page.experiment, after if last_event_id is None else last_event_id)
    response = StreamingHttpResponse(stream, content_type="text/event-stream")
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Accel-Buffering"] = "no"
    return response


async def _events(request: HttpRequest, experiment: Experiment, seq: int) -> AsyncIterator[str]:
    """Subscribe first, then send the snapshot: what is announced from here on leaves no gap."""
    layer = get_channel_layer()
    assert layer is not None
    group = group_name(experiment.code)
    try:
        channel = await layer.new_channel()
        await layer.group_add(group, channel)
    except (RedisError, OSError):  # no news without the broker: tell what is known, and let the client come back
        yield _told(await _in_thread(live_state)(experiment, seq))
        return
    # One waiting task for as long as it takes: a cancelled receive would end the subscription.
    waiting = asyncio.create_task(layer.receive(channel))
    checked = time.monotonic()
    try:
        state: dict[str, Any] | None = await _in_thread(live_state)(experiment, seq)
        while True:
            if state is not None:
                seq = state["seq"]
                yield _told(state)
                if state["status"] in ENDED:
                    return
            state = None
            done, _ = await asyncio.wait({waiting}, timeout=PULSE_S)
            if time.monotonic() - checked > RECHECK_S:
                if not await _in_thread(_may_still_read)(request, experiment):
                    return
                checked = time.monotonic()
            if not done:
                yield ": still here\n\n"
                continue
            message = waiting.result()
            waiting = asyncio.create_task(layer.receive(channel))
            state = await _next_state(experiment, message, seq)
    finally:
        waiting.cancel()
        with suppress(RedisError, OSError):  # the broker may be the reason that the stream ends
            await layer.group_discard(group, channel)


async def _next_state(experiment: Experiment, message: dict[str, Any], seq: int) -> dict[str, Any] | None:
    """The state to send for a message: the broadcast one, the whole difference after a gap, or None for old news."""
    if message["type"] == "experiment.changed":
        state: dict[str, Any] = message["state"]
        if state["seq"] <= seq:
            return None
        if state["after"] <= seq:
            return state
    elif message["type"] != "redis.reconnect":
        return None
    return await _in_thread(live_state)(experiment, seq)


def _in_thread(read: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """``read`` in the request's thread. Streams live for hours: between two reads none holds a connection."""

    def read_and_let_go(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return read(*args, **kwargs)
        finally:
            if not connection.in_atomic_block:
                connection.close()

    return sync_to_async(read_and_let_go)


def _may_still_read(request: HttpRequest, experiment: Experiment) -> bool:
    if not ApiToken.objects.active().filter(pk=token_of(request).pk).exists():
        return False
    try:
        reach(request, experiment.code)
    except (Http404, PermissionDenied):
        return False
    return True


def _told(state: dict[str, Any]) -> str:
    """The state as an event, and behind the last one the end."""
    end = _event("end", {"status": state["status"]}, state["seq"]) if state["status"] in ENDED else ""
    return _event("state", state, state["seq"]) + end


def _event(name: str, data: dict[str, Any], seq: int) -> str:
    text = json.dumps(data, cls=DjangoJSONEncoder, separators=(",", ":"))
    return f"id: {seq}\nevent: {name}\ndata: {text}\n\n"
