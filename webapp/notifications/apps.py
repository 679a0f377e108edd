from __future__ import annotations

from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    """Tells programs and people that an experiment ended: rows when it ends, sent by the reconciler's process."""

    name = "webapp.notifications"

    def ready(self) -> None:
        from jobs import chores
        from jobs.signals import experiment_ended
        from webapp.notifications import alerts, delivery, events

        experiment_ended.connect(events.on_experiment_ended, dispatch_uid="notifications")
        experiment_ended.connect(alerts.on_experiment_ended, dispatch_uid="alerts")
        chores.register("alerts", alerts.watch, seconds=30.0)
        chores.register("deliveries", delivery.deliver, seconds=2.0)
