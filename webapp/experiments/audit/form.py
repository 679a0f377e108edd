"""What an audit adds to its form: problems to choose from, values taken from an experiment, an estimate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.verification import VERIFIERS
from jobs.kinds.audit.checks import count_verdicts, load_problems
from jobs.kinds.audit.spec import OF_EXPERIMENT, AuditSpec
from jobs.kinds.base import SpecError
from jobs.models import Experiment
from webapp.accounts.models import Team
from webapp.experiments.kind_forms import Estimate, EstimateRow, KindForm, PresetCard
from webapp.experiments.sampling.form import FORM as SAMPLING
from webapp.experiments.sampling.form import set_name

MOST_IMPORTS = 50  # offered as sets of problems, the newest first
_TAKEN = ("limit", "verifier", "grade_seconds", "grade_memory", "grade_repeats", "grade_target")


class AuditForm(KindForm):
    lede = (
        "Verifiers are wrong often enough to matter. Grade answers that are known to be right or wrong, several times, "
        "and see which problems reject a right answer, accept a wrong one, or change their mind."
    )
    icon = "eye"

    def presets(self) -> Sequence[PresetCard]:
        return []

    def options(self, widget: str, team: Team) -> list[tuple[str, list[tuple[str, str]]]]:
        groups = SAMPLING.options(widget, team)
        if widget != "problem-set":
            return groups
        imports = Experiment.objects.filter(team=team, kind="sampling", spec__has_key="imported").order_by("-pk")
        found = [(f"{OF_EXPERIMENT}/{each.code}", each.name) for each in imports[:MOST_IMPORTS]]
        # Uploads come last: the form's script adds new ones there.
        return [groups[0], ("Imported results", found), *groups[1:]] if found else groups

    def values_of(self, experiment: Experiment) -> dict[str, Any] | None:
        if experiment.kind != "sampling":
            return None
        spec = experiment.spec
        problems = f"{OF_EXPERIMENT}/{experiment.code}" if "imported" in spec else spec.get("problems")
        taken = {name: spec[name] for name in _TAKEN if name in spec}
        return taken | ({"problems": problems} if problems else {})

    def check(self, spec: AuditSpec, team: Team) -> dict[str, str]:
        try:
            load_problems(spec, team)
        except SpecError as error:
            return {error.field: str(error)}
        return {}

    def default_name(self, spec: AuditSpec, team: Team) -> str:
        """The verifier and the set's name: ``Audit of math-verify, arithmetic-60``."""
        if spec.of_experiment is None:
            return f"Audit of {spec.verifier}, {set_name(spec.as_sampling(), team)}"
        of = Experiment.objects.filter(team=team, code=spec.of_experiment).values_list("name", flat=True).first()
        return f"Audit of {spec.verifier}, {of or 'problems'}"

    def estimate(self, spec: AuditSpec, team: Team) -> Estimate:
        try:
            problems = load_problems(spec, team)
        except SpecError as error:
            return Estimate(note=str(error))
        known_wrong = sum(len(problem.checks.get("wrong", [])) for problem in problems)
        rows = [
            EstimateRow("Problems", f"{len(problems):,}"),
            EstimateRow("Known wrong answers", f"{known_wrong:,}"),
            EstimateRow("Verdicts", f"{count_verdicts(spec, problems):,}"),
        ]
        note = "" if known_wrong else "No wrong answer of these problems is known: false positives cannot be found."
        return Estimate(rows, note or f"On CPU workers, by {VERIFIERS[spec.verifier].title}.")


FORM = AuditForm()
