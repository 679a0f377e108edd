"""Live sockets of the experiment page. Read-only: what a page sends is ignored, and every write is an HTTP POST.

A refused socket is accepted and then closed with a code of its own: closed before that, the browser would only see a
failed handshake and could not tell "signed out" from "the server is away", which is worth trying again.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from contextlib import suppress
from typing import Any, cast
from uuid import UUID

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.contrib.sessions.backends.base import SessionBase
from django.http import Http404

from jobs.announcer import group_name
from jobs.models import Experiment
from webapp.accounts.models import Membership, User
from webapp.experiments.kind_pages import Chart
from webapp.experiments.page import shared_page
from webapp.experiments.visibility import chart_view, shared_view
from webapp.rate_limits import TooManyAttempts
from webapp.sharing.access import LinkClosed, Visit, find_link
from webapp.sharing.anonymity import Redactor

SIGNED_OUT, NOT_ALLOWED, GONE = 4401, 4403, 4404
RECHECK_SECONDS = 60.0
MOST_WAITING = 4  # states not yet sent to a slow page; then it is told to fetch what it missed instead

MOST_TEXTS = 32  # encoded messages kept

Json = dict[str, Any]
_texts: dict[tuple[object, ...], str] = {}


class Refusal(Exception):
    """The visitor may not (or no longer) watch; ``code`` closes the socket."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class LiveConsumer(AsyncJsonWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """Passes the states that ``jobs.live.announce`` broadcasts on to one page."""

    async def connect(self) -> None:
        self._waiting: deque[str] = deque()
        self._stale = False
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._groups: list[str] = []
        await self.accept()
        try:
            # Joined before permission is granted: whatever is announced from here on reaches this page, so the
            # snapshot that it fetches after "open" leaves no gap.
            for group in await self.check():
                await self.channel_layer.group_add(group, self.channel_name)
                self._groups.append(group)
            await self.check()  # permission may have gone between the first look and joining the groups
        except Refusal as refusal:
            await self.close(refusal.code)
            return
        await self.send_json({"type": "ready"})
        self._tasks = [asyncio.create_task(self._send_waiting()), asyncio.create_task(self._check_again_and_again())]

    async def check(self) -> list[str]:
        """The groups this visitor may listen to; raises Refusal."""
        raise NotImplementedError

    def visible(self, state: Json) -> Json:
        """The part of a broadcast state that this visitor may see."""
        raise NotImplementedError

    async def disconnect(self, code: int) -> None:
        for task in self._tasks:
            task.cancel()
        for group in self._groups:
            # The broker may be the reason that the socket ends.
            with suppress(OSError, ConnectionError):
                await self.channel_layer.group_discard(group, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any) -> None:
        """Nothing that a page sends has a meaning."""

    # --- events of the channel layer ----------------------------------------------------------------------------------

    async def experiment_changed(self, event: Json) -> None:
        if self._stale:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._ask_to_fetch()
            return
        self._waiting.append(self._encoded(event["state"]))
        self._wake.set()

    async def access_changed(self, event: Json) -> None:
        await self._check_now()

    async def redis_disconnect(self, event: Json) -> None:
        """Nothing can be said about what is missed; ``redis_reconnect`` follows."""

    async def redis_reconnect(self, event: Json) -> None:
        self._ask_to_fetch()

    def _encoded(self, state: Json) -> str:
        """The message as text. Many pages of this process get the same one, so it is encoded once for all of them."""
        key = (*self.scope["url_route"]["kwargs"].values(), state["seq"], state["now"])
        if key not in _texts:
            while len(_texts) >= MOST_TEXTS:
                del _texts[next(iter(_texts))]
            _texts[key] = json.dumps({"type": "state", "state": self.visible(state)}, separators=(",", ":"))
        return _texts[key]

    def _ask_to_fetch(self) -> None:
        self._waiting.clear()
        self._stale = True
        self._wake.set()

    # --- background ---------------------------------------------------------------------------------------------------

    async def _send_waiting(self) -> None:
        """One sender, so that a slow page holds up its own states and not the reading of the channel layer."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting or self._stale:
                if self._stale:
                    self._stale = False
                    await self.send_json({"type": "refetch"})
                else:
                    await self.send(self._waiting.popleft())

    async def _check_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            await self._check_now()

    async def _check_now(self) -> None:
        try:
            await self.check()
        except Refusal as refusal:
            await self.close(refusal.code)


class MemberConsumer(LiveConsumer):
    """For members of the experiment's team, by session."""

    async def check(self) -> list[str]:
        return cast(list[str], await database_sync_to_async(self._check)())

    def _check(self) -> list[str]:
        user = cast(User, self.scope["user"])
        session = cast(SessionBase, self.scope["session"])
        # The scope was filled when the socket opened; the session may have ended since.
        if not user.is_authenticated or not session.session_key or not session.exists(session.session_key):
            raise Refusal(SIGNED_OUT)
        code: UUID = self.scope["url_route"]["kwargs"]["code"]
        experiment = Experiment.objects.filter(code=code).first()
        if experiment is None:
            raise Refusal(GONE)
        # Like the pages: outsiders are not told that the experiment exists, unless they were members a moment ago.
        if not Membership.objects.filter(team=experiment.team_id, user=user.pk, user__is_active=True).exists():
            raise Refusal(NOT_ALLOWED if self._groups else GONE)
        return [group_name(code), f"user.{user.pk}"]

    def visible(self, state: Json) -> Json:
        return state


class ShareConsumer(LiveConsumer):
    """For whoever holds a share link's token."""

    _only: Chart | None = None  # the one chart that the link opens
    _redactor: Redactor | None = None  # of an anonymous link

    async def check(self) -> list[str]:
        return cast(list[str], await database_sync_to_async(self._check)())

    def _check(self) -> list[str]:
        token = self.scope["url_route"]["kwargs"]["token"]
        try:
            link = find_link(token, str((self.scope.get("client") or ["unknown"])[0]))
        except (Http404, TooManyAttempts):
            raise Refusal(GONE) from None
        except LinkClosed:
            raise Refusal(NOT_ALLOWED) from None
        if link.experiment is None:  # a comparison, a board: they have no state of their own to follow
            raise Refusal(GONE)
        visit = Visit(link, token)
        # Looked up here, in a thread: ``visible`` must not query.
        self._only, self._redactor = shared_page(visit).only, visit.redactor
        # A frozen link hears of nothing but its own end.
        return [f"share.{link.pk}", *([] if link.frozen else [group_name(link.experiment.code)])]

    def visible(self, state: Json) -> Json:
        shown = shared_view(state)
        shown = chart_view(shown, self._only) if self._only else shown
        return cast(Json, self._redactor.json(shown)) if self._redactor else shown
