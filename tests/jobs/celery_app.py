"""The Celery application as workers of the job tests see it: the fake kind, and impatient redelivery."""

from __future__ import annotations

from typing import Any

from celery import signals

from jobs.celery import app

app.conf.broker_transport_options |= {
    "visibility_timeout": 1,
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
}


@signals.celeryd_init.connect
def _know_the_fake_kind(**_: Any) -> None:
    import django

    django.setup()
    from jobs.kinds import register
    from tests.jobs.fake_kind import FakeKind

    register(FakeKind())
