from __future__ import annotations

from django.apps import AppConfig


class DetectionConfig(AppConfig):
    name = "jobs.kinds.detection"
    label = "detection"

    def ready(self) -> None:
        from jobs.kinds import register
        from jobs.kinds.detection import cleaning  # noqa: F401  removes the files of what is deleted
        from jobs.kinds.detection.kind import DetectionKind

        register(DetectionKind())
