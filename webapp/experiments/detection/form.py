"""What detection adds to its form: presets, data sets to choose from, checks, a name and an estimate."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.kinds.detection.checks import check_spec, data_set
from jobs.kinds.detection.data import has_doom
from jobs.kinds.detection.jobs import builtin_name
from jobs.kinds.detection.models import DataSet
from jobs.kinds.detection.plan import runs
from jobs.kinds.detection.presets import PRESETS
from jobs.kinds.detection.spec import ARCHITECTURES, BUILTIN, DOOM, DetectionSpec
from webapp.accounts.models import Team
from webapp.experiments.detection.estimate import estimate
from webapp.experiments.kind_forms import Estimate, KindForm, PresetCard


class DetectionForm(KindForm):
    lede = (
        "Train detectors whose images are turned, with labels made in different ways, and see what each is worth at "
        "every test angle."
    )
    icon = "grid"

    def presets(self) -> Sequence[PresetCard]:
        return [PresetCard(one.name, one.title, one.help, one.icon, one.values) for one in PRESETS]

    def options(self, widget: str, team: Team) -> list[tuple[str, list[tuple[str, str]]]]:
        if widget != "data-set":
            return []
        own = DataSet.objects.filter(team=team).exclude(status=DataSet.Status.REFUSED).order_by("name")
        return [
            ("Built in", [(value, text) for value, text in BUILTIN.items() if value != DOOM or has_doom()]),
            (f"Of {team.name}", [(f"set/{one.code}", describe(one)) for one in own]),
        ]

    def check(self, spec: DetectionSpec, team: Team) -> dict[str, str]:
        return {error.field: str(error) for error in check_spec(spec, team)}

    def default_name(self, spec: DetectionSpec, team: Team) -> str:
        """The data set and what is compared: ``cells, 5 methods``."""
        found = data_set(spec, team)
        name = found.name if found else builtin_name(spec)
        if not spec.train:
            return f"{name}: label quality"
        methods = len({(run.rule, run.delta) for run in runs(spec)})
        what = f"{methods} methods" if methods > 1 else spec.rules[0]
        return f"{name}, {what}, {' and '.join(ARCHITECTURES[each] for each in spec.architectures)}"

    def estimate(self, spec: DetectionSpec, team: Team) -> Estimate:
        return estimate(spec, team)


def describe(one: DataSet) -> str:
    if one.status == DataSet.Status.NEW:
        return f"{one.name}, being read"
    return f"{one.name}, {one.counts.get('images', 0):,} images, {len(one.classes)} classes"


FORM = DetectionForm()
