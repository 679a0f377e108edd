"""Sampling experiments side by side: curves on a common axis, key figures, problems one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.urls import reverse

from jobs.models import Experiment
from webapp.experiments.compare.query import CompareQuery, Line
from webapp.experiments.kind_pages import KindComparison
from webapp.experiments.sampling import curves
from webapp.experiments.sampling.compare_table import side_by_side
from webapp.experiments.sampling.costs import Costs, costs_of
from webapp.experiments.sampling.counters import Counters, load_counters
from webapp.experiments.sampling.measured import measure, time_title
from webapp.experiments.sampling.pairs import pair_of
from webapp.experiments.sampling.priced import duel_of, frontiers, published_attempts
from webapp.experiments.sampling.published import overlays
from webapp.experiments.sampling.tiles import COMPARISON_TILES
from webapp.prices.table import prices_of

Json = dict[str, Any]


class SamplingComparison(KindComparison):
    intro_template = "experiments/sampling/compare_intro.html"
    tiles = COMPARISON_TILES

    def intro(self) -> Json:
        return {"attempts": published_attempts()}

    def context(self, experiments: Sequence[Experiment], lines: Sequence[Line], query: CompareQuery) -> Json:
        every = load_counters(experiments)
        common = shared_problems([every[each.pk] for each in experiments])
        if query.shared and common:
            every = {pk: counters.only(common) for pk, counters in every.items()}
            found = {pk: curves.curve_json(counters) for pk, counters in every.items()}
        else:
            found = curves.curves(experiments, every)
        measured = measure(experiments, every)
        prices = prices_of(experiments[0].team)  # a comparison stays in one team
        runs = [
            Run(each, line, every[each.pk], found[each.pk], costs_of(measured[each.pk], prices))
            for each, line in zip(experiments, lines, strict=True)
        ]
        pair = pair_of(runs, query)
        titles = {time_title(measured[each.pk].device) for each in experiments if measured[each.pk].worker_seconds}
        time = titles.pop() if len(titles) == 1 else "Worker time"
        return {
            "time": time,
            "series": {
                "runs": [run.as_json() for run in runs],
                "pair": pair.series if pair else None,
                "published": overlays(),
                # Costs of one problem compare only where the problems are the same.
                "frontiers": frontiers(runs) if len({run.problems for run in runs}) == 1 else {},
            },
            "duel": duel_of([run for run in runs if run.problems == runs[0].problems], query, time),
            "published": overlays(),
            "pair": pair,
            "remarks": remarks(runs, common, query),
            "table": side_by_side(runs),
            "has_curves": any(run.counters.reach for run in runs),
        }


@dataclass(frozen=True, slots=True)
class Run:
    """One experiment on the page."""

    experiment: Experiment
    line: Line
    counters: Counters
    curve: Json
    costs: Costs

    @property
    def problems(self) -> frozenset[str]:
        """Ids."""
        return frozenset(self.counters.uid)

    @property
    def planned(self) -> int:
        return int(self.experiment.spec.get("samples", 0))

    def as_json(self) -> Json:
        experiment = self.experiment
        return {
            "code": str(experiment.code),
            "name": experiment.name,
            "model": experiment.spec.get("model", ""),
            "url": reverse("experiment", args=[experiment.code]),
            "data": reverse("experiment-data", args=[experiment.code, "NAME"]),
            "slot": self.line.slot,
            "dash": self.line.dash,
            "status": experiment.status,
            "problems": len(self.counters.uid),
            "planned": self.planned,
            "reach": self.counters.reach,
            "curve": self.curve,
            "cost": {axis: [cost.fixed, cost.per_sample] for axis, cost in self.costs.lines.items()}
            | {"why": self.costs.why, "notes": self.costs.notes},
        }


@dataclass(frozen=True, slots=True)
class Remark:
    """What a reader must know before comparing. ``url`` leads to a view without the trouble."""

    text: str
    url: str = ""
    action: str = ""


def shared_problems(all_counters: Sequence[Counters]) -> frozenset[str]:
    """Ids of the problems that every experiment has."""
    sets = [frozenset(counters.uid) for counters in all_counters]
    return frozenset.intersection(*sets) if sets else frozenset()


def remarks(runs: Sequence[Run], common: frozenset[str], query: CompareQuery) -> list[Remark]:
    """What makes the experiments not comparable, or less so."""
    return [
        *_about_problems(runs, common, query),
        *_about_samples(runs),
        *_about_stopping(runs),
        *_about_verifiers(runs),
    ]


def _about_problems(runs: Sequence[Run], common: frozenset[str], query: CompareQuery) -> list[Remark]:
    if query.shared and common:
        everything = query.url(shared=False)
        return [Remark(f"Only the {len(common)} problems that all of them have.", everything, "Use all problems")]
    first = runs[0]
    found = []
    for run in runs[1:]:
        shared = len(run.problems & first.problems)
        name, base = run.experiment.name, first.experiment.name
        if not shared:
            found.append(Remark(f"{name} has no problem in common with {base}: not comparable."))
        elif run.problems != first.problems:
            sizes = f"{shared} of its {len(run.problems)} problems with {base}, which has {len(first.problems)}"
            found.append(Remark(f"{name} shares {sizes}: the curves are not comparable as they are."))
    if found and common:
        found[-1] = replace(found[-1], url=query.url(shared=True), action=f"Use the {len(common)} problems all share")
    return found


def _about_samples(runs: Sequence[Run]) -> list[Remark]:
    """Curves end where a problem runs out of samples, so what has more samples elsewhere shows less than it has."""
    found = []
    for run in runs:
        n = run.counters.n
        if not run.experiment.has_ended:
            found.append(Remark(f"{run.experiment.name} is still running: {run.counters.reach} of {run.planned}."))
        elif not run.counters.reach:
            found.append(Remark(f"{run.experiment.name} has problems without a graded sample, so it has no curve."))
        elif not run.counters.stops and not run.counters.is_even:
            text = f"{run.experiment.name} has {n.min()} to {n.max()} samples per problem; its curve ends at {n.min()}."
            found.append(Remark(text))
        if extra := int((run.counters.all_n - n).sum()):
            text = f"{run.experiment.name} has {extra:,} samples of extra draws. Problems they solved count as solved;"
            found.append(Remark(f"{text} curves and differences leave them out, for they would bias them."))
    return found


def _about_stopping(runs: Sequence[Run]) -> list[Remark]:
    names = [run.experiment.name for run in runs if run.counters.stops]
    if not names:
        return []
    verb = "stops" if len(names) == 1 else "stop"
    return [
        Remark(
            f"{' and '.join(names)} {verb} a problem when it is solved. The curve is then the share of problems solved "
            "within the first k samples: unbiased, with a wider band. Forecasts, selection and differences of single "
            "problems would be biased and are left out."
        )
    ]


def _about_verifiers(runs: Sequence[Run]) -> list[Remark]:
    named = (run.experiment.spec.get("verifier") or "that of an imported file" for run in runs)
    verifiers = list(dict.fromkeys(str(name) for name in named))
    if len(verifiers) < 2:
        return []
    return [Remark(f"Graded by different verifiers: {', '.join(verifiers)}. A difference may be theirs.")]


COMPARISON = SamplingComparison()
