"""What a share link leaves out of the live state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from webapp.experiments.kind_pages import Chart


def shared_view(state: dict[str, Any]) -> dict[str, Any]:
    """The live state without what is the team's own business: hosts, log lines, the output of failed runs.

    A reason can quote a path or a host, so a stranger is told that something failed but not what it said.
    """
    hidden = {"workers": [], "log": [], "failures": [], "artifacts": [], "reason": ""}
    waiting = "Waiting for a worker." if state.get("waiting") else None
    return state | hidden | {"waiting": waiting, "kind": _of_kind(state.get("kind", {}))}


def _of_kind(part: dict[str, Any]) -> dict[str, Any]:
    """A kind's part without pictures that people tried and without the faults of their data, which name files; without
    why a scene failed, which may quote a path, and without the other experiments of the team that stages come from."""
    shown = dict(part)
    if "scenes" in shown:
        shown["scenes"] = [row | {"reason": ""} for row in shown["scenes"]]
    if "losses" in shown:
        shown["runs"] = [row | {"reused_from": None} for row in shown["runs"]]
    if "tries" in shown:
        shown["tries"] = []
    if shown.get("data"):
        shown["data"] = shown["data"] | {"report": []}
    return shown


def chart_view(state: dict[str, Any], chart: Chart) -> dict[str, Any]:
    """The shared live state with nothing of the kind's part but what one chart draws."""
    part = {name: value for name, value in state["kind"].items() if name in chart.state}
    if "kpis" in part:
        part["kpis"] = {name: value for name, value in part["kpis"].items() if name in chart.kpis}
    return (
        state
        | {"kind": part}
        | ({} if chart.metrics else {"metrics": {"width": state["metrics"]["width"], "series": {}}})
    )
