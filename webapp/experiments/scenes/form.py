"""What scenes add to their form: presets, sets to choose from, checks, a name and an estimate."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.kinds.scenes.checks import check_spec, has_doom, scene_set
from jobs.kinds.scenes.models import SceneRun, SceneSet
from jobs.kinds.scenes.presets import PRESETS
from jobs.kinds.scenes.spec import BUILTIN, FREEDOOM, ScenesSpec
from jobs.models import Experiment
from webapp.accounts.models import Team
from webapp.experiments.kind_forms import Estimate, KindForm, PresetCard
from webapp.experiments.scenes.estimate import estimate

STARTS = 40  # experiments offered to start from, the newest


class ScenesForm(KindForm):
    lede = (
        "Train a model that makes 3D scenes from posed pictures, watch scenes form in the viewer, and draw new ones "
        "from a map, a box or another scene."
    )
    icon = "cube"
    sets_address = "scene-sets"

    def presets(self) -> Sequence[PresetCard]:
        return [PresetCard(one.name, one.title, one.help, one.icon, one.values) for one in PRESETS]

    def options(self, widget: str, team: Team) -> list[tuple[str, list[tuple[str, str]]]]:
        if widget == "data-set":
            own = SceneSet.objects.filter(team=team).exclude(status=SceneSet.Status.REFUSED).order_by("name")
            return [
                ("Built in", [(value, text) for value, text in BUILTIN.items() if value != FREEDOOM or has_doom()]),
                (f"Of {team.name}", [(f"set/{one.code}", describe(one)) for one in own]),
            ]
        if widget == "scene-experiment":
            trained = SceneRun.objects.filter(
                experiment__team=team, stage="autoencoder", stopped__in=["finished", "reused"]
            ).values("experiment")
            found = Experiment.objects.filter(pk__in=trained).order_by("-created_at")[:STARTS]
            return [
                ("", [("", "Nothing: train every stage")]),
                (f"Of {team.name}", [(str(one.code), one.name) for one in found]),
            ]
        return []

    def check(self, spec: ScenesSpec, team: Team) -> dict[str, str]:
        return {error.field: str(error) for error in check_spec(spec, team)}

    def default_name(self, spec: ScenesSpec, team: Team) -> str:
        """The data and the grid: ``Freedoom's maps, 128 x 128 x 32``."""
        found = scene_set(spec, team)
        name = found.name if found else BUILTIN[spec.data].partition(":")[0].partition(",")[0]
        if not spec.train:
            return f"{name}: pictures and cameras"
        z, y, x = spec.voxels
        left = "" if spec.groups == "g+c+f" else f", {spec.groups}"
        return f"{name}, {x} × {y} × {z}{left}"

    def estimate(self, spec: ScenesSpec, team: Team) -> Estimate:
        return estimate(spec, team)


def describe(one: SceneSet) -> str:
    if one.status == SceneSet.Status.NEW:
        return f"{one.name}, being read"
    return f"{one.name}, {one.counts.get('scenes', 0):,} scenes, {one.counts.get('views', 0):,} views"


FORM = ScenesForm()
