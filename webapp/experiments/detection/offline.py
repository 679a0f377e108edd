"""A detection experiment offline: scores by angle, training, label quality."""

from __future__ import annotations

from typing import Any

from webapp.experiments.offline.content import Figure, Line, Offline, Table

Json = dict[str, Any]
SLOTS = 7


def offline_content(kind: Json) -> Offline:
    """``kind``: the kind's part of the live state."""
    labels = {run["index"]: run["label"] for run in kind["runs"]}
    figures = [
        Figure(
            "angles", "AP75 against test angle", "angle in degrees", "AP75",
            _lines(kind["scores"], labels, "angle", "ap75"), percent=True,
        ),
        Figure("loss", "Training loss", "epoch", "loss", _lines(kind["epochs"], labels, "epoch", "loss")),
        Figure(
            "validation", "Validation while training", "epoch", "AP", _lines(kind["epochs"], labels, "epoch", "ap"),
            percent=True,
        ),
        Figure(
            "quality", "Label quality", "angle in degrees", "share with IoU of 0.75 or more",
            _lines(kind["quality"], {row["rule"]: row["rule"] for row in kind["quality"]}, "angle", "share75", "rule"),
            percent=True,
        ),
    ]  # fmt: skip
    rows = [[labels.get(row["run"], ""), row["angle"], row["ap"], row["ap50"], row["ap75"]] for row in kind["scores"]]
    return Offline(
        facts=[("Runs", f"{kind['total_runs']:,}"), ("Classes", ", ".join(map(str, kind["classes"])))],
        figures=[figure for figure in figures if figure.lines],
        tables=[Table("Scores", ["Run", "Angle", "AP", "AP50", "AP75"], rows)],
    )


def _lines(rows: list[Json], names: dict[Any, str], x: str, y: str, by: str = "run") -> list[Line]:
    """A line for each run (or rule), of the rows that have a value."""
    found = []
    for i, (key, name) in enumerate(names.items()):
        points = sorted((row[x], row[y]) for row in rows if row[by] == key and row[y] is not None)
        if points:
            xs, ys = zip(*points, strict=True)
            found.append(Line(name, list(xs), list(ys), i % SLOTS + 1, markers=len(xs) < 40))
    return found
