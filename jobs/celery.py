"""The Celery application: a doorbell only. Settings and their reasons: docs/architecture.md.

Results are off, chords are not used: the database holds every state. ``manage.py worker gpu`` starts a worker.
"""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")

app = Celery("canopy")
app.config_from_object(
    {
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "task_track_started": False,
        "worker_send_task_events": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # a worker waits for its broker for ever
        "task_serializer": "json",
        "accept_content": ["json"],
        "worker_hijack_root_logger": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "task_default_queue": "gpu",
        "task_create_missing_queues": True,
        "imports": ["jobs.tasks"],
        "broker_transport_options": {
            # Delivered again after this long: harmless, since a ring carries no shard.
            "visibility_timeout": 6 * 3600,
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "health_check_interval": 25,
            "global_keyprefix": "canopy:",
            # A ring into the void returns at once instead of after 6 s: pages ring too, and the reconciler repeats it.
            # Workers are not affected: their connection retries by broker_connection_max_retries.
            "max_retries": 0,
            "interval_start": 0,
            "interval_step": 0,
            "interval_max": 0,
        },
    }
)


def configure() -> None:
    """Take the broker's address from Django's settings."""
    from django.conf import settings

    app.conf.broker_url = settings.CELERY_BROKER_URL


configure()
