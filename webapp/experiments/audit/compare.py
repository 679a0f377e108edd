"""Audits side by side: what each found, and the problems on which they disagree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobs.kinds.audit.live import changes
from jobs.kinds.audit.models import AuditedProblem
from jobs.models import Experiment
from webapp.experiments.compare.query import CompareQuery, Line
from webapp.experiments.kind_pages import KindComparison

MOST_PROBLEMS = 200
FLAGS = ("flaky", "false negative", "false positive", "undecided")


class AuditComparison(KindComparison):
    def context(self, experiments: Sequence[Experiment], lines: Sequence[Line], query: CompareQuery) -> dict[str, Any]:
        found: list[dict[str, Any]] = [
            {"experiment": each, "line": line, "state": changes(each, 0), "flags": _flags(each)}
            for each, line in zip(experiments, lines, strict=True)
        ]
        for each in found:
            each["counts"] = [each["state"]["flags"].get(flag, 0) for flag in FLAGS]
        differing = _differing([each["flags"] for each in found])
        return {
            "series": {},
            "audits": found,
            "heads": [flag.capitalize() for flag in FLAGS],
            "differing": differing[:MOST_PROBLEMS],
            "left_out": max(0, len(differing) - MOST_PROBLEMS),
        }


def _flags(experiment: Experiment) -> dict[str, str]:
    """What each audited problem is flagged with, by its name; empty where nothing is wrong."""
    rows = AuditedProblem.objects.filter(experiment=experiment, state="audited").order_by("index")
    return {row.uid: ", ".join(row.flags) for row in rows.defer("question", "answer", "checks")}


def _differing(audits: Sequence[dict[str, str]]) -> list[tuple[str, list[str]]]:
    """Problems of which not all audits say the same, with what each says."""
    names = dict.fromkeys(uid for flags in audits for uid in flags)
    rows = [(uid, [flags.get(uid, "not in it") or "as it should be" for flags in audits]) for uid in names]
    return [row for row in rows if len(set(row[1])) > 1]


COMPARISON = AuditComparison()
