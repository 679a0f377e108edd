"""An experiment as a share link froze it: what is kept, and the object that pages are drawn from later.

Kept are the live state (without people, hosts and log, as share links show it), the settings, the figures' data, and
the small files made from the results. Sample texts and pictures are not: they may be a million rows, and are drawn anew
or graded again in place.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from asgiref.sync import async_to_sync

from jobs.live import live_state
from jobs.models import Experiment
from webapp.experiments.kind_pages import kind_page
from webapp.experiments.visibility import chart_view, shared_view

Json = dict[str, Any]
MOST_FILE = 2 * 1024 * 1024  # characters of one kept file
FIELDS = ("name", "status", "spec", "reason", "created_at", "started_at", "finished_at", "last_seq")
TIMES = ("created_at", "started_at", "finished_at")


def freeze(experiment: Experiment, chart: str = "") -> Json:
    """What the page, or one chart of it, shows now, as JSON."""
    kind = kind_page(experiment.kind)
    only = kind.charts[chart] if chart else None
    state = shared_view(live_state(experiment))
    fields: Json = {name: getattr(experiment, name) for name in FIELDS}
    if only:
        state = chart_view(state, only)
    data = {name: make(experiment) for name, make in kind.data.items() if only is None or name in only.data}
    files = {
        name: text
        for name, item in kind.downloads.items()
        if not item.has_samples and (only is None or name in only.downloads)
        if (text := async_to_sync(_drained)(item.stream(experiment))) is not None
    }
    return {
        "experiment": fields,
        "state": state,
        "data": {name: only.of_data(name, found) for name, found in data.items()} if only else data,
        "files": files,
    }


async def _drained(pieces: AsyncIterator[str]) -> str | None:
    """The whole text; None when it is too long to keep."""
    found, size = [], 0
    async for piece in pieces:
        size += len(piece)
        if size > MOST_FILE:
            return None
        found.append(piece)
    return "".join(found)


def frozen_experiment(experiment: Experiment, kept: Json) -> Experiment:
    """A copy that carries the fields as they were. It must not be saved."""
    then = copy.copy(experiment)
    for name, value in kept["experiment"].items():
        setattr(then, name, datetime.fromisoformat(value) if name in TIMES and value else value)
    return then
