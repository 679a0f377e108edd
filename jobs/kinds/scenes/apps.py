from __future__ import annotations

from django.apps import AppConfig


class ScenesConfig(AppConfig):
    name = "jobs.kinds.scenes"
    label = "scenes"

    def ready(self) -> None:
        from jobs.kinds import register
        from jobs.kinds.scenes import cleaning  # noqa: F401  removes the files of what is deleted
        from jobs.kinds.scenes.kind import ScenesKind

        register(ScenesKind())
