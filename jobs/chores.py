"""Work that other apps have the reconciler's process do beside its rounds, each piece in a thread of its own.

A slow chore, such as a delivery to a server that does not answer, must not keep leases from being watched. Several
reconcilers may run, and any may be killed: a chore claims what it does by a conditional update.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from django.db import DatabaseError, connection

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Chore:
    name: str
    work: Callable[[], bool]  # does a little; True: there may be more to do at once
    seconds: float  # to wait otherwise

    def run(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            more = False
            try:
                more = self.work()
            except DatabaseError as error:
                logger.warning("%s: the database does not answer: %s", self.name, error)
            except Exception:
                logger.exception("%s failed; it is tried again", self.name)
            connection.close()
            if not more:
                stopping.wait(self.seconds)


_chores: dict[str, Chore] = {}


def register(name: str, work: Callable[[], bool], *, seconds: float) -> None:
    """Have ``work`` called again and again, from AppConfig.ready."""
    _chores[name] = Chore(name, work, seconds)


def start(stopping: threading.Event) -> None:
    """Start every chore; each ends after ``stopping`` is set, at the latest with the process."""
    for chore in _chores.values():
        threading.Thread(target=chore.run, args=(stopping,), name=chore.name, daemon=True).start()
