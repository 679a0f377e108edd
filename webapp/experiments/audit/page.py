"""The audit kind's part of the experiment page."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest

from engine.verification import VERIFIERS
from jobs.kinds.audit.models import OUTCOMES, AuditedProblem
from jobs.models import Experiment
from webapp.experiments.kind_pages import Chart, Download, KindPage
from webapp.experiments.kind_tiles import Tile
from webapp.experiments.offline.content import Figure, Line, Offline, Table
from webapp.experiments.page import Page
from webapp.experiments.sampling.page import PAGE as SAMPLING
from webapp.experiments.sampling.tables import ROWS, cell

COLUMNS = (
    "index",
    "problem",
    "state",
    "flags",
    *(f"right_{name}" for name in OUTCOMES),
    "wrong_answers",
    *(f"wrong_{name}" for name in OUTCOMES),
    "reason",
    "seconds",
)


async def audit_csv(experiment: Experiment) -> AsyncIterator[str]:
    """Per problem: the verdicts on its right answer and on its known wrong ones, what is wrong with them and why."""
    yield _csv([COLUMNS])
    after = -1
    while rows := await sync_to_async(_rows_after)(experiment, after):
        after = rows[-1].index
        yield _csv(_cells(row) for row in rows)


def _rows_after(experiment: Experiment, after: int) -> list[AuditedProblem]:
    rows = AuditedProblem.objects.filter(experiment=experiment, index__gt=after).order_by("index")
    return list(rows.defer("question", "answer", "checks")[:ROWS])


def _cells(row: AuditedProblem) -> list[Any]:
    right, wrong = ([getattr(row, f"{known}_{name}") for name in OUTCOMES] for known in ("right", "wrong"))
    flags = "; ".join(row.flags)
    return [
        row.index, cell(row.uid), row.state, flags, *right, row.wrong_answers, *wrong, cell(row.reason), row.seconds
    ]  # fmt: skip


def _csv(rows: Iterable[Sequence[object]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


PANELS = "experiments/audit/panels"
SCRIPT = "webapp/js/tiles_audit.js"
STYLES = ("webapp/css/audit.css",)
KPIS = {
    "mistaken": "Problems it gets wrong",
    "flaky": "Flaky",
    "negative": "False negatives",
    "positive": "False positives",
    "undecided": "Undecided",
    "audited": "Problems audited",
}


def _verdicts(page: Page) -> dict[str, Any]:
    verifier = page.experiment.spec.get("verifier", "")
    return {
        "verifier": VERIFIERS[verifier].title if verifier in VERIFIERS else verifier,
        "audit_url": page.url("download", name="audit.csv"),
    }


TILES = (
    Tile("kpis", "Key figures", f"{PANELS}/kpis.html", SCRIPT, width=12, height=3),
    *(Tile(f"kpi-{name}", title, f"{PANELS}/kpis.html", SCRIPT, width=3, height=3) for name, title in KPIS.items()),
    Tile("audit", "Verdicts on known answers", f"{PANELS}/audit.html", SCRIPT, _verdicts, 12, 9, styles=STYLES),
)


class AuditPage(KindPage):
    tabs = ()
    tiles = TILES
    samples_are = ""
    charts = {
        "audit": Chart(
            "Verdicts on known answers",
            state=frozenset({"problems", "total_problems"}),
            downloads=frozenset({"audit.csv"}),
        )
    }
    downloads = {"audit.csv": Download("Verdicts on each problem's known answers", "text/csv", audit_csv)}

    def offline(self, experiment: Experiment, state: dict[str, Any], data: dict[str, Any]) -> Offline:
        kind = state["kind"]
        heads = ["Problem", "State", *(f"right: {name}" for name in OUTCOMES), *(f"wrong: {name}" for name in OUTCOMES)]
        rows = [[row[1], row[2], *row[3], *row[5], ", ".join(row[6])] for row in kind["problems"]]
        names = list(OUTCOMES)
        lines = [
            Line(title, list(range(len(names))), kind[known], slot)
            for title, known, slot in (("right answers", "right", 1), ("wrong answers", "wrong", 5))
        ]
        order = ", ".join(f"{i} {name}" for i, name in enumerate(names))
        figure = Figure("verdicts", "Verdicts on known answers", f"verdict ({order})", "verdicts", lines, bars=True)
        facts = [("Audited", f"{kind['audited']:,}"), ("Mistaken, flaky or undecided", f"{kind['mistaken']:,}")]
        return Offline(facts, [figure], [Table("Problems", [*heads, "Flags"], rows)])

    def spelled(self, experiment: Experiment, setting: str) -> str | None:
        return SAMPLING.spelled(experiment, setting)

    def context(self, request: HttpRequest, page: Page, tab: str) -> dict[str, Any]:
        return _verdicts(page)


PAGE = AuditPage()
