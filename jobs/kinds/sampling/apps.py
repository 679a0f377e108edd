from __future__ import annotations

from django.apps import AppConfig


class SamplingConfig(AppConfig):
    name = "jobs.kinds.sampling"
    label = "sampling"

    def ready(self) -> None:
        from jobs.kinds import register
        from jobs.kinds.sampling.kind import SamplingKind

        register(SamplingKind())
