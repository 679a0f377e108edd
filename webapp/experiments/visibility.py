"""What a share link leaves out of the live state."""

from __future__ import annotations

from typing import Any


def shared_view(state: dict[str, Any]) -> dict[str, Any]:
    """The live state without what is the team's own business: hosts, log lines, the output of failed runs.

    A reason can quote a path or a host, so a stranger is told that something failed but not what it said.
    """
    hidden = {"workers": [], "log": [], "failures": [], "artifacts": [], "reason": ""}
    return state | hidden | {"waiting": "Waiting for a worker." if state.get("waiting") else None}
