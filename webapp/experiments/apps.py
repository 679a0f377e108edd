from __future__ import annotations

from django.apps import AppConfig


class ExperimentsConfig(AppConfig):
    name = "webapp.experiments"

    def ready(self) -> None:
        from webapp.experiments import shares
        from webapp.experiments.scenes.shares import SceneTarget
        from webapp.sharing.targets import register

        for target in (shares.ExperimentTarget(), shares.ChartTarget(), shares.ComparisonTarget(), SceneTarget()):
            register(target)
