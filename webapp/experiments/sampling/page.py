"""The sampling kind's part of the experiment page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpRequest

from engine.cost import Prices
from engine.verification import VERIFIERS, compares_answers
from jobs.kinds.sampling.models import Problem, ProblemSet, Sample, Verdict
from jobs.kinds.sampling.rewards import rewards_of
from jobs.kinds.sampling.spec import MAX_SAMPLES, ExtraDraw
from jobs.kinds.sampling.stopping import stops_when_solved
from jobs.models import Experiment
from webapp.experiments.kind_pages import Chart, Download, KindPage, Tab
from webapp.experiments.offline.content import Offline
from webapp.experiments.page import Page
from webapp.experiments.sampling import analysis, report, samples, tables
from webapp.experiments.sampling.cost_panel import charged_by_services, cost_panel
from webapp.experiments.sampling.filters import ORDERS, Filters
from webapp.experiments.sampling.highlight import split_at_answer
from webapp.experiments.sampling.offline import download_size, offline_content
from webapp.experiments.sampling.tiles import TILES

_MOST_GROUPS = 8  # numbers of samples of an extra draw that its setting spells out


class SamplingPage(KindPage):
    tabs = (Tab("samples", "Samples", has_samples=True, has_count=True), Tab("analysis", "Analysis"))
    tiles = TILES
    actions = frozenset({"more", "regrade", "score", "audit"})
    data = {"forecast": analysis.forecast_data, "selection": analysis.selection_data}
    charts = {
        "coverage": Chart(
            "Coverage against samples",
            state=frozenset({"curve", "samples", "extra", "stops", "total_problems", "kpis"}),
            kpis=frozenset({"first_success"}),
            data={"forecast": frozenset({"forecast"})},
            downloads=frozenset({"coverage.csv"}),
        ),
        "problems": Chart(
            "Per-problem success",
            state=frozenset({"problems", "stops", "total_problems"}),
            downloads=frozenset({"problems.csv"}),
        ),
        "engine": Chart(
            "Engine",
            state=frozenset({"kpis"}),
            kpis=frozenset({"tokens_per_second"}),
            downloads=frozenset({"engine.csv"}),
            metrics=True,
        ),
    }
    downloads = {
        "samples.jsonl": Download(
            "Every sample with its text and verdict", "application/x-ndjson", tables.samples_jsonl, has_samples=True
        ),
        "problems.csv": Download("Correct and graded samples of each problem", "text/csv", tables.problems_csv),
        "coverage.csv": Download("Coverage and its band for every k", "text/csv", tables.coverage_csv),
        "experiment.json": Download(
            "Settings, curve and problems in one object", "application/json", report.experiment_json
        ),
        "report.html": Download(
            "A report in one file that opens offline: curve, problems, settings", "text/html", report.report_html
        ),
        "engine.csv": Download("Speed and memory of the engine over time", "text/csv", tables.engine_csv),
    }

    def offline(self, experiment: Experiment, state: dict[str, Any], data: dict[str, Any]) -> Offline:
        return offline_content(state["kind"], data)

    def size_of(self, experiment: Experiment, download: str) -> int:
        return download_size(experiment, download)

    def spelled(self, experiment: Experiment, setting: str) -> str | None:
        if setting == "extra":
            return "\n".join(_spell_draw(draw) for draw in experiment.spec["extra"])
        code = str(experiment.spec.get("problems", "")).removeprefix("set/")
        if setting != "problems" or code == experiment.spec.get("problems"):
            return None
        found: Any = ProblemSet.objects.filter(team=experiment.team_id, code=code).values_list("name", flat=True)
        name = found.first()
        return f"{name} (set/{code})" if name else None

    def charged(self, experiments: Sequence[Experiment], prices: Prices) -> Mapping[int, float]:
        return charged_by_services(experiments, prices)

    def context(self, request: HttpRequest, page: Page, tab: str) -> dict[str, Any]:
        planned = int(page.experiment.spec.get("samples", 0))
        common = {
            "imported": page.experiment.spec.get("imported"),
            "planned": planned,
            "stops": stops_when_solved(page.experiment),
            "more_samples": min(2 * planned, MAX_SAMPLES),
            "most_samples": MAX_SAMPLES,
            "verifiers": VERIFIERS.values(),
            "scorer": page.experiment.spec.get("scorer", ""),
            "scorer_label": page.experiment.spec.get("scorer_label"),
            "verifier": (verifier := page.experiment.spec.get("verifier", "")),
            # Statements and function heads begin alike: such problems go by their ids, and texts keep their columns.
            "formal": verifier in VERIFIERS and not compares_answers(verifier),
            "samples_url": page.url("tab", tab="samples") if page.shows_samples else "",
            "forecast_url": page.url("data", part="forecast"),
            "coverage_url": page.url("download", name="coverage.csv"),
            "engine_url": page.url("download", name="engine.csv"),
            "problems_url": page.url("download", name="problems.csv"),
        }
        if tab == "samples":
            return common | browse(request, page)
        if tab == "analysis":
            return common | {
                "data_url": page.url("data", part="NAME"),
                "cost": cost_panel(page.experiment),
                "can_draw": page.access.can_write and not stops_when_solved(page.experiment),
            }
        return common


def _spell_draw(draw: dict[str, Any]) -> str:
    """``12 problems up to 640 samples, 1 problem up to 700``."""
    groups = ExtraDraw.model_validate(draw).up_to.items()
    parts = [f"{len(found):,} problem{'s' if len(found) > 1 else ''} up to {n:,} samples" for n, found in groups]
    more = f" and {len(parts) - _MOST_GROUPS} more numbers" if len(parts) > _MOST_GROUPS else ""
    return ", ".join(parts[:_MOST_GROUPS]) + more


def browse(request: HttpRequest, page: Page) -> dict[str, Any]:
    """Everything the sample browser shows: a list at the left, one sample in full, its details."""
    filters = Filters.read(request.GET)
    experiment = page.experiment
    context: dict[str, Any] = {
        "part": "experiments/sampling/browser.html",
        "filters": filters,
        "verdicts": Verdict.choices,
        "orders": ORDERS.items(),
        "path": request.path,
        "all_problems_url": filters.query(problem=None, after=0),
        "clear_url": Filters(problem=filters.problem, order=filters.order).query(at=filters.at),
    }
    context |= _sample_list(experiment, filters) if filters.lists_samples else _problem_list(experiment, filters)
    shown = _shown(experiment, filters, context)
    return context | (_in_full(experiment, filters, shown, context) if shown else {"shown": None})


def _sample_list(experiment: Experiment, filters: Filters) -> dict[str, Any]:
    found = samples.find_samples(experiment, filters)
    items = [{"sample": sample, "url": filters.query(at=_place(sample))} for sample in found.samples]
    count = None if filters.q else samples.count_capped(experiment, filters)
    return {
        "found": found,
        "items": items,
        "count": count,
        "most_counted": samples.MOST_COUNTED,
        "next_url": filters.query(after=found.next_after, at="") if found.next_after is not None else "",
    }


def _problem_list(experiment: Experiment, filters: Filters) -> dict[str, Any]:
    problems, pages = samples.list_problems(experiment, filters)
    page = min(filters.page, pages)
    return {
        "problems": [{"problem": each, "url": filters.query(problem=each.index, at="")} for each in problems],
        "pages": pages,
        "page_number": page,
        "earlier_url": filters.query(page=page - 1) if page > 1 else "",
        "next_url": filters.query(page=page + 1) if page < pages else "",
    }


def _shown(experiment: Experiment, filters: Filters, context: dict[str, Any]) -> Sample | None:
    """The sample asked for, else the first match, else the first sample of the chosen or first problem."""
    if filters.place and (asked := samples.get_sample(experiment, filters.place)):
        return asked
    if filters.lists_samples:
        first = context["found"].samples[:1]
        return samples.get_sample(experiment, (first[0].problem.index, first[0].index)) if first else None
    if filters.problem is not None:
        problem = Problem.objects.filter(experiment=experiment, index=filters.problem).first()
    else:
        problem = context["problems"][0]["problem"] if context["problems"] else None
    return samples.first_sample(problem) if problem else None


def _in_full(experiment: Experiment, filters: Filters, shown: Sample, context: dict[str, Any]) -> dict[str, Any]:
    problem = shown.problem
    previous, following = _neighbours(shown, context["items"]) if filters.lists_samples else samples.beside(shown)
    return {
        "shown": shown,
        "problem": problem,
        "pieces": split_at_answer(shown.body.text, shown.answer) if hasattr(shown, "body") else None,
        "strip": samples.strip_around(shown, _planned(experiment, problem)),
        "strip_query": filters.query(at=f"{problem.index}."),
        "answers": samples.common_answers(shown),
        "previous_url": filters.query(at=_place(previous)) if previous else "",
        "following_url": filters.query(at=_place(following)) if following else "",
        "max_tokens": experiment.spec.get("max_tokens"),
        "reward": rewards_of(experiment, [shown.pk]).get(shown.pk),
        "grade_milliseconds": None if shown.grade_seconds is None else round(shown.grade_seconds * 1000, 1),
    }


def _planned(experiment: Experiment, problem: Problem) -> int:
    """Samples of one problem, extra draws included."""
    extra = [ExtraDraw.model_validate(draw).targets.get(problem.index, 0) for draw in experiment.spec.get("extra", [])]
    return max([int(experiment.spec.get("samples", 0)), *extra])


def _place(sample: Sample) -> str:
    return f"{sample.problem.index}.{sample.index}"


def _neighbours(shown: Sample, items: list[dict[str, Any]]) -> tuple[Sample | None, Sample | None]:
    """The matches before and after the shown sample, in the list at the left."""
    listed = [item["sample"] for item in items]
    here = next((i for i, sample in enumerate(listed) if sample.pk == shown.pk), None)
    if here is None:
        return None, None
    return (listed[here - 1] if here else None), (listed[here + 1] if here + 1 < len(listed) else None)


PAGE = SamplingPage()
