"""A sampling experiment offline: its curve, forecast, selection and problems."""

from __future__ import annotations

from typing import Any

from django.db.models import Sum

from jobs.kinds.sampling.models import Problem
from jobs.models import Experiment
from webapp.experiments.offline.content import Figure, Line, Offline, Table

Json = dict[str, Any]
BYTES_OF_A_TOKEN, BYTES_OF_A_SAMPLE, BYTES_OF_A_PROBLEM = 4, 320, 90  # about, of JSON lines and CSV
MOST_ROWS = 5_000  # of the table of problems; problems.csv has all


def offline_content(kind: Json, data: Json) -> Offline:
    """``kind``: the kind's part of the live state; ``data``: of the Analysis tab's figures."""
    curve = kind["curve"]
    figures = [_coverage(kind), *_forecast(data.get("forecast") or {}), *_selection(data.get("selection") or {})]
    return (
        Offline(
            facts=_facts(kind),
            figures=[figure for figure in [*figures, _problems(kind)] if any(line.x for line in figure.lines)],
            tables=[_table(kind)],
        )
        if curve["k"] or kind["problems"]
        else Offline()
    )


def _facts(kind: Json) -> list[tuple[str, str]]:
    figures = kind["kpis"]
    facts = [("Problems", f"{kind['total_problems']:,}"), ("Samples graded", f"{kind['graded']:,}")]
    if figures["coverage"] is not None:
        at = f"Coverage at {figures['coverage_at']:,}"
        facts.insert(0, (at, f"{figures['coverage']:.1%} ({figures['lo']:.1%} to {figures['hi']:.1%})"))
        facts.insert(1, ("Pass at 1", f"{figures['pass1']:.1%}"))
    facts.append(("Problems solved", f"{figures['solved']:,} of {kind['total_problems']:,}"))
    return facts


def _coverage(kind: Json) -> Figure:
    curve = kind["curve"]
    line = Line("coverage", curve["k"], curve["coverage"], 1, curve["lo"], curve["hi"], markers=True)
    note = "The share of problems that at least one of k samples solves, estimated without bias. Band: 95%."
    if kind["stops"]:
        note = "The share of problems solved within the first k samples. Band: 95%."
    return Figure(
        "coverage", "Coverage against samples", "samples per problem, k", "coverage", [line], note, log_x=True,
        percent=True,
    )  # fmt: skip


def _forecast(data: Json) -> list[Figure]:
    measured, forecast, law = data.get("measured"), data.get("forecast"), data.get("law")
    if not measured:
        return []
    lines = [Line("measured", measured["k"], measured["coverage"], 1)]  # its band is in the figure before
    lines += [_line("beta-binomial forecast", forecast, 1, "dash")] if forecast else []
    lines += [Line("power law", law["k"], law["coverage"], 2, dash="dot")] if law else []
    return [
        Figure(
            "forecast", "Forecast", "samples per problem, k", "coverage", lines,
            "Beyond the measured curve: model-based estimates.", log_x=True, percent=True,
        )
    ]  # fmt: skip


def _selection(data: Json) -> list[Figure]:
    if not data.get("methods"):
        return []
    curves = [("coverage", data["measured"]), *((method["title"], method) for method in data["methods"])]
    lines = [Line(title, curve["k"], curve["coverage"], i % 7 + 1) for i, (title, curve) in enumerate(curves)]
    note = "What a selector keeps of the k samples; coverage is what a perfect one would keep."
    return [
        Figure(
            "selection", "Selection", "samples per problem, k", "share solved", lines, note, log_x=True, percent=True
        )
    ]


def _line(name: str, curve: Json, slot: int, dash: str = "solid") -> Line:
    return Line(name, curve["k"], curve["coverage"], slot, curve.get("lo") or (), curve.get("hi") or (), dash)


def _problems(kind: Json) -> Figure:
    shares = sorted((_share(row) for row in kind["problems"]), reverse=True)
    line = Line("share correct", list(range(1, len(shares) + 1)), shares, 1)
    title = "1 / samples until the first correct one" if kind["stops"] else "share of graded samples that are correct"
    return Figure("problems", "Per-problem success", "problems, sorted", title, [line], bars=True, percent=True)


def _share(row: list[int]) -> float:
    """Of [index, graded, correct, not judged], and where problems stop when solved the samples up to the first
    correct one."""
    if len(row) > 4:
        return 1 / row[4] if row[4] else 0.0
    return row[2] / row[1] if row[1] else 0.0


def _table(kind: Json) -> Table:
    heads = ["Problem", "Graded", "Correct", "Not judged", *(["Solved by sample"] if kind["stops"] else [])]
    return Table("Problems", heads, kind["problems"][:MOST_ROWS])


def download_size(experiment: Experiment, name: str) -> int:
    problems = Problem.objects.filter(experiment=experiment)
    if name == "samples.jsonl":
        sums = problems.aggregate(drawn=Sum("drawn"), n=Sum("n"), tokens=Sum("tokens"))
        samples = max(sums["drawn"] or 0, sums["n"] or 0)
        return BYTES_OF_A_SAMPLE * samples + BYTES_OF_A_TOKEN * (sums["tokens"] or 0)
    times = {"problems.csv": 1, "experiment.json": 6, "report.html": 5}.get(name, 1)
    return BYTES_OF_A_PROBLEM * times * problems.count()
