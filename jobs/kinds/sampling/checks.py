"""What a Spec must satisfy beyond its own bounds, because it depends on the team, the disk or the problem set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db.models import Max

from engine.endpoint import EndpointError, find_endpoint, is_hosted
from engine.models.sources import DEMO_MODEL, ModelError
from engine.problems import Problem, bundled
from engine.verification import VERIFIERS, fits
from jobs.kinds.base import SpecError
from jobs.kinds.sampling.models import Problem as ProblemRow
from jobs.kinds.sampling.models import ProblemSet, SampleText
from jobs.kinds.sampling.plan import samples_planned
from jobs.kinds.sampling.sources import resolve_model
from jobs.kinds.sampling.spec import SamplingSpec
from jobs.models import Experiment

# Rows that one experiment may make. A bound keeps a slip of the keyboard from filling the disk.
MAX_TOTAL_SAMPLES = 5_000_000
# What the operator must have set before a verifier can be chosen: a key of settings.VERIFICATION, its variable.
_OPERATORS_PART = {
    "function": ("functions", "CANOPY_VERIFIER_DIR"),
    "endpoint": ("endpoints", "CANOPY_VERIFIER_URLS"),
    "proof-lean": ("lean_url", "CANOPY_LEAN_URL"),
    "patch": ("repositories", "CANOPY_REPOSITORIES"),
    "patch-harness": ("harness", "CANOPY_SWE_HARNESS"),
}


def check_spec(spec: SamplingSpec, team: Any) -> list[SpecError]:
    """All that is wrong with a valid Spec in this team on this server; an empty list when it can be submitted."""
    errors = []
    try:
        if is_hosted(spec.model):
            find_endpoint(spec.model, settings.ENDPOINTS)
        else:
            resolve_model(spec.model, settings.MODEL_DIRS)
    except (EndpointError, ModelError) as error:
        errors.append(SpecError("model", str(error)))
    try:
        _check_reward_model(spec)
    except SpecError as error:
        errors.append(error)
    try:
        load_problems(spec, team)
    except SpecError as error:
        errors.append(error)
    return errors


def load_problems(spec: SamplingSpec, team: Any) -> list[Problem]:
    """The problems a Spec means, ``limit`` applied. Raises SpecError: another team's set is as good as no set."""
    if (code := spec.problem_set_code) is None:
        problems = bundled(spec.problems.removeprefix("bundled/"))
    else:
        chosen = ProblemSet.objects.filter(code=code, team=team).first()
        if chosen is None:
            raise SpecError("problems", "Your team has no such problem set. Choose another, or upload one.")
        problems = [Problem(**problem) for problem in chosen.problems]
    problems = problems[: spec.limit]
    check_verifier(problems, spec.verifier)
    check_total(len(problems), spec.samples)
    check_extra(len(problems), spec)
    return problems


def check_verifier(problems: Sequence[Problem], verifier: str) -> None:
    """Raise SpecError for a verifier that is not set up here, or that lacks something in one of the problems."""
    field, variable = _OPERATORS_PART.get(verifier, ("", ""))
    if field and not settings.VERIFICATION[field]:
        raise SpecError("verifier", f"This verifier is not set up here: the operator sets {variable}. Choose another.")
    unfit = next((problem for problem in problems if not fits(verifier, problem.answer, problem.checks)), None)
    if unfit is not None:
        raise SpecError(
            "verifier",
            f"The problem {unfit.uid} has none of {', '.join(VERIFIERS[verifier].requires)}, which this verifier "
            "needs. Choose another verifier, or add it to the set: docs/problem-format.md shows how.",
        )


def check_total(problems: int, samples: int) -> None:
    """Raise SpecError when problems x samples is more than an experiment may hold."""
    if problems * samples > MAX_TOTAL_SAMPLES:
        raise SpecError(
            "samples",
            f"{problems:,} problems × {samples:,} samples is more than the {MAX_TOTAL_SAMPLES:,} an experiment may "
            f"hold. Draw at most {MAX_TOTAL_SAMPLES // problems:,} samples, or use fewer problems.",
        )


def check_scorer(experiment: Experiment, spec: SamplingSpec) -> None:
    """Raise SpecError for a reward model that is not there, and where no sample has a text to score."""
    if not spec.scorer:
        return
    _check_reward_model(spec)
    if spec.imported is not None and not SampleText.objects.filter(sample__experiment=experiment).exists():
        raise SpecError("scorer", "The imported file held no answer texts, so there is nothing to score.")


def _check_reward_model(spec: SamplingSpec) -> None:
    if spec.scorer_label is not None and not spec.scorer:
        raise SpecError("scorer_label", "Choose a reward model first, or leave its output empty.")
    if not spec.scorer:
        return
    if spec.scorer == DEMO_MODEL or is_hosted(spec.scorer):
        raise SpecError("scorer", "This model writes answers and scores none. Choose a sequence classifier.")
    try:
        source = resolve_model(spec.scorer, settings.MODEL_DIRS)
    except ModelError as error:
        raise SpecError("scorer", str(error)) from None
    if source.endswith(".gguf"):
        raise SpecError("scorer", "A reward model is a folder with config.json and safetensors, no .gguf file.")


def check_extra(problems: int, spec: SamplingSpec) -> None:
    """Raise SpecError when an extra draw names problems that are not there or makes the experiment too large."""
    if spec.extra and spec.stop_when_solved:
        raise SpecError("extra", "Problems stop when they are solved here: drawing more goes to the others anyway.")
    targets = [draw.targets for draw in spec.extra]
    if any(problem >= problems for each in targets for problem in each):
        raise SpecError("extra", f"An extra draw names a problem beyond the last one, {problems - 1}.")
    if targets and sum(samples_planned(problems, spec.samples, targets)) > MAX_TOTAL_SAMPLES:
        raise SpecError("extra", f"That is more than the {MAX_TOTAL_SAMPLES:,} samples an experiment may hold.")


def check_import(experiment: Experiment, spec: SamplingSpec) -> None:
    """Raise SpecError for what imported results do not allow: drawing more, and grading answers that are not there."""
    drawn = ProblemRow.objects.filter(experiment=experiment).aggregate(most=Max("drawn"))["most"]
    if drawn and spec.samples > drawn:
        raise SpecError("samples", "Imported results cannot be drawn further: no model is behind them.")
    if "verifier" in spec.model_fields_set:
        if not SampleText.objects.filter(sample__experiment=experiment).exists():
            raise SpecError("verifier", "The imported file held no answer texts, so there is nothing to grade.")
        if not ProblemRow.objects.filter(experiment=experiment).exclude(answer="").exists():
            raise SpecError("verifier", "The imported file held no gold answers, so nothing can be graded again.")
