from __future__ import annotations

from django.apps import AppConfig


class ActivityConfig(AppConfig):
    name = "webapp.activity"

    def ready(self) -> None:
        from webapp.activity import sign_ins  # noqa: F401  listens to sign-ins
