"""What sampling adds to its form: presets, problem sets to choose from, checks, a name and an estimate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from engine.endpoint import is_hosted
from engine.problems import BUNDLED
from jobs.kinds.base import SpecError
from jobs.kinds.sampling.checks import check_spec, load_problems
from jobs.kinds.sampling.models import ProblemSet
from jobs.kinds.sampling.presets import PRESETS
from jobs.kinds.sampling.spec import SamplingSpec
from webapp.accounts.models import Team
from webapp.experiments.kind_forms import Estimate, EstimateRow, KindForm, PresetCard
from webapp.experiments.sampling.estimate import compact, estimate, scoring_rows

ICONS = {"first-look": "bolt", "demo": "star"}


class SamplingForm(KindForm):
    lede = (
        "Ask a model the same problems many times and see how many it solves at least once, "
        "for every number of tries up to k."
    )
    icon = "dice"

    def presets(self) -> Sequence[PresetCard]:
        return [
            PresetCard(preset.name, preset.title, preset.help, ICONS.get(preset.name, "file"), preset.values)
            for preset in PRESETS
        ]

    def options(self, widget: str, team: Team) -> list[tuple[str, list[tuple[str, str]]]]:
        if widget != "problem-set":
            return []
        own = ProblemSet.objects.filter(team=team).order_by("name").defer("problems")
        return [
            ("Bundled", [(f"bundled/{name}", f"{name}: {about}") for name, about in BUNDLED.items()]),
            (f"Uploaded by {team.name}", [(f"set/{one.code}", f"{one.name}, {one.count:,} problems") for one in own]),
        ]

    def check(self, spec: SamplingSpec, team: Team) -> dict[str, str]:
        return {error.field: str(error) for error in check_spec(spec, team)}

    def default_name(self, spec: SamplingSpec, team: Team) -> str:
        """The model's last word and the set's name: ``SmolLM2-135M-Instruct, arithmetic-60``."""
        model = PurePosixPath(spec.model).name or spec.model
        return f"{model}, {set_name(spec, team)}"

    def estimate(self, spec: SamplingSpec, team: Team) -> Estimate:
        try:
            problems = load_problems(spec, team)
        except SpecError as error:
            return Estimate(note=str(error))
        told = hosted_estimate(spec, len(problems)) if is_hosted(spec.model) else estimate(spec, problems, team)
        return replace(told, rows=[*told.rows, *scoring_rows(spec, len(problems) * spec.samples)])


def hosted_estimate(spec: SamplingSpec, problems: int) -> Estimate:
    """What an endpoint will be asked for. Its prompts cannot be counted before: each service has its own tokens."""
    samples = problems * spec.samples
    rows = [
        EstimateRow("Problems", f"{problems:,}"),
        EstimateRow("Samples", f"at most {samples:,}" if spec.stop_when_solved else f"{samples:,}"),
        EstimateRow("Tokens drawn", f"at most {compact(samples * spec.max_tokens)}"),
    ]
    return Estimate(rows, "A hosted model: the service counts what it charges for, and the experiment shows it.")


def set_name(spec: SamplingSpec, team: Team) -> str:
    """What the team calls the set of problems."""
    if spec.problem_set_code is None:
        return spec.problems.removeprefix("bundled/")
    chosen: Any = ProblemSet.objects.filter(team=team, code=spec.problem_set_code).values_list("name", flat=True)
    return str(chosen.first() or "problems")


FORM = SamplingForm()
