from __future__ import annotations

from django.apps import AppConfig


class WebappConfig(AppConfig):
    """Templates tags, static files, system checks and the commands that start Canopy."""

    name = "webapp"

    def ready(self) -> None:
        from webapp import checks  # noqa: F401  registers the system checks
