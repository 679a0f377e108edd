from __future__ import annotations

from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "jobs.kinds.audit"
    label = "audit"

    def ready(self) -> None:
        from jobs.kinds import register
        from jobs.kinds.audit.kind import AuditKind

        register(AuditKind())
