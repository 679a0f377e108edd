"""What sampling adds to its form: presets, problem sets to choose from, checks, a name and an estimate."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from engine.endpoint import is_hosted
from engine.models import DEMO_MODEL
from engine.problems import BUNDLED
from jobs.kinds.base import SpecError
from jobs.kinds.sampling.checks import check_spec, load_problems
from jobs.kinds.sampling.models import ProblemSet
from jobs.kinds.sampling.presets import PRESETS
from jobs.kinds.sampling.spec import SamplingSpec
from webapp.accounts.models import Team
from webapp.experiments.kind_forms import Estimate, KindForm, PresetCard
from webapp.experiments.sampling.estimate import estimate, hosted_estimate, scoring_rows

# How the names of instruction-tuned models tell it.
CHAT_NAMES = re.compile(r"instruct|chat|[-_]it\b|gpt-[345]|claude", re.IGNORECASE)
CHAT_HINT = (
    "The published prompt is the beginning of a function, to be continued as plain text; this model was tuned to chat, "
    "and such models often answer it with prose. For them turn the chat template on and ask for the whole function in "
    "the prompt template, or use a base model."
)
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
        known = hosted_estimate(spec, problems, team) if is_hosted(spec.model) else estimate(spec, problems, team)
        known = replace(known, rows=[*known.rows, *scoring_rows(spec, len(problems) * spec.samples)])
        return replace(known, note=f"{CHAT_HINT} {known.note}") if _continues_in_prose(spec) else known


def _continues_in_prose(spec: SamplingSpec) -> bool:
    """Whether a chat model gets the beginning of a function to continue, as HumanEval's published prompt has it."""
    is_chat_model = spec.model == DEMO_MODEL or CHAT_NAMES.search(spec.model) is not None
    return is_chat_model and not spec.chat and spec.verifier == "code-function"


def set_name(spec: SamplingSpec, team: Team) -> str:
    """What the team calls the set of problems."""
    if spec.problem_set_code is None:
        return spec.problems.removeprefix("bundled/")
    chosen: Any = ProblemSet.objects.filter(team=team, code=spec.problem_set_code).values_list("name", flat=True)
    return str(chosen.first() or "problems")


FORM = SamplingForm()
