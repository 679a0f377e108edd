"""What the report and the JSON file of a sampling experiment tell, gathered from counters and settings."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from asgiref.sync import sync_to_async
from django.utils import timezone

from engine.exchange.figure import Line
from engine.exchange.report import ProblemRow, Report, html_report
from jobs.kinds.sampling import live
from jobs.kinds.sampling.curve import ESTIMATOR
from jobs.kinds.sampling.models import Problem, Verdict
from jobs.models import Experiment
from webapp.experiments.config import config_sections

Json = dict[str, Any]
_ROW = ("uid", "question", "n", "c", "errors", "first_correct")


async def report_html(experiment: Experiment) -> AsyncIterator[str]:
    """One file with curve, problems, verdicts and settings; without sample texts, log, people and hosts."""
    for piece in html_report(await sync_to_async(_report)(experiment)):
        yield piece


async def experiment_json(experiment: Experiment) -> AsyncIterator[str]:
    """Settings, curve, verdicts and counters of every problem as one JSON object."""
    yield json.dumps(await sync_to_async(_json)(experiment), ensure_ascii=False, indent=1)


def _report(experiment: Experiment) -> Report:
    state = live.changes(experiment, 0)
    curve, figures = state["curve"], state["kpis"]
    settings = [
        (
            section,
            [(one.title, f"{one.value} {one.unit}".strip() if one.value != "not set" else one.value) for one in rows],
        )
        for section, rows in config_sections(experiment)
    ]
    return Report(
        title=experiment.name,
        made=f"{timezone.localtime():%d %B %Y, %H:%M %Z}",
        facts=_facts(experiment, state, figures),
        curve=Line(curve["k"], curve["coverage"], curve["lo"], curve["hi"]),
        verdicts=[(label, state["counts"][value]) for value, label in Verdict.choices],
        problems=[ProblemRow(*row) for row in _problems(experiment).values_list(*_ROW)],
        settings=settings,
        stops=state["stops"],
    )


def _facts(experiment: Experiment, state: Json, figures: Json) -> list[tuple[str, str]]:
    facts = [("State", experiment.get_status_display())]
    if figures["coverage"] is not None:
        band = f"{figures['coverage']:.1%} ({figures['lo']:.1%} to {figures['hi']:.1%})"
        first = f"{figures['pass1']:.1%} ({figures['pass1_lo']:.1%} to {figures['pass1_hi']:.1%})"
        facts += [(f"Coverage at {figures['coverage_at']:,}", band), ("Pass at 1", first)]
    facts.append(("Problems solved", f"{figures['solved']:,} of {state['total_problems']:,}"))
    if figures["first_success"]:
        facts.append(("Samples to solve a problem", taken(figures["first_success"])))
    if state["stops"]:
        facts.append(("Estimator", ESTIMATOR[True].capitalize()))
    facts.append(("Samples graded", f"{state['graded']:,} of {state['drawn']:,} drawn"))
    if extra := state["extra"]:
        facts.append(
            (
                "Extra draws",
                f"{extra['samples']:,} more samples of {extra['problems']:,} problems, put where they help; "
                "the curve leaves them out, for they would bias it",
            )
        )
    if figures["tokens"]:
        facts.append(("Tokens drawn", f"{figures['tokens']:,}"))
    if figures["prompt_tokens"]:
        facts.append(("Prompt tokens charged", f"{figures['prompt_tokens']:,}"))
    return facts


def taken(found: Json) -> str:
    """engine.coverage.FirstSuccess in words."""
    band = "" if found["lo"] is None else f" ({found['lo']:.1f} to {found['hi']:.1f})"
    solved = "" if found["per_solved"] is None else f"; {found['per_solved']:.1f} drawn for each solved problem"
    return f"{found['mean']:.1f}{band} drawn on average until the first correct one or the end{solved}"


def _json(experiment: Experiment) -> Json:
    state = live.changes(experiment, 0)
    figures = state["kpis"]
    names = (
        "index", "uid", "question", "answer", "n", "c", "errors", "timeouts", "drawn", "tokens", "prompt_tokens",
        "first_correct", "extra_n", "extra_c",
    )  # fmt: skip
    return {
        "name": experiment.name,
        "kind": experiment.kind,
        "status": experiment.status,
        "created": experiment.created_at.isoformat(),
        "settings": experiment.spec,
        "verdicts": state["counts"],
        "estimator": ESTIMATOR[state["stops"]],
        "first_success": figures["first_success"],
        "curve": state["curve"],
        "problems": list(_problems(experiment).values(*names)),
    }


def _problems(experiment: Experiment) -> Any:
    return Problem.objects.filter(experiment=experiment).order_by("index")
