"""Which team a free worker serves next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Claimant:
    """A team's queued shards of one priority, on one queue."""

    team_id: int
    priority: int
    running: int  # shards of the team that run now
    last_served: datetime | None  # when a worker last started one
    oldest: datetime  # submission of its oldest experiment among these


def choose(claimants: Iterable[Claimant]) -> Claimant | None:
    """Priority first; then the team with the fewest running shards; then the one served longest ago; then the oldest.

    With equal priorities this is a fair share: a team with a thousand shards and a team with one take turns.
    """
    return min(
        claimants,
        key=lambda c: (-c.priority, c.running, c.last_served or _NEVER, c.oldest, c.team_id),
        default=None,
    )
