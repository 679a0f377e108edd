"""Looks whether the alerts of open experiments hold: a chore of the reconciler's process, and once more at the end."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet, Sum
from django.urls import reverse
from django.utils import timezone

from jobs.models import ENDED, Experiment, Status
from webapp.notifications import events
from webapp.notifications.models import Alert, Condition, Event


def watch() -> bool:
    """Look at every alert that waits; False: that is all for now."""
    _look(Alert.objects.exclude(experiment__status__in=ENDED))
    return False


def on_experiment_ended(sender: Any, *, experiment: Experiment, **_: Any) -> None:
    """Receiver of jobs.signals.experiment_ended: the last result may be what an alert waits for."""
    _look(Alert.objects.filter(experiment=experiment, condition__in=[Condition.AT_LEAST, Condition.AT_MOST]))


def _look(alerts: QuerySet[Alert]) -> None:
    now = timezone.now()
    waiting = alerts.filter(fired_at=None).select_related("experiment__team", "experiment__owner", "created_by")
    for alert in waiting.order_by("pk"):
        said = _holds(alert, now)
        if said:
            _fire(alert, said, now)


def _holds(alert: Alert, now: datetime) -> str:
    """What is so, in words; empty while the alert does not hold."""
    experiment = alert.experiment
    if alert.condition in {Condition.AT_LEAST, Condition.AT_MOST}:
        value, wants_more = experiment.summary.get("value"), alert.condition == Condition.AT_LEAST
        if value is None or not (value >= alert.number if wants_more else value <= alert.number):
            return ""
        return f"{experiment.summary.get('label', 'the result')} is {value:.4g}"
    if experiment.status != Status.RUNNING:
        Alert.objects.filter(pk=alert.pk).update(done_since=None)  # waiting for a worker is not being stuck
        return ""
    if alert.condition == Condition.LONGER:
        is_over = experiment.started_at and now - experiment.started_at > timedelta(hours=alert.number)
        return f"it runs for more than {alert.number:g} h" if is_over else ""
    return _stuck(alert, now)


def _stuck(alert: Alert, now: datetime) -> str:
    done = alert.experiment.shards.aggregate(done=Sum("done"))["done"] or 0
    if alert.done_since is None or done != alert.done:
        Alert.objects.filter(pk=alert.pk).update(done=done, done_since=now)
        return ""
    is_over = now - alert.done_since >= timedelta(minutes=alert.number)
    return f"no progress for {alert.number:g} min; units done: {done:,}" if is_over else ""


@transaction.atomic
def _fire(alert: Alert, said: str, now: datetime) -> None:
    """Once: of several reconcilers, one wins."""
    if not Alert.objects.filter(pk=alert.pk, fired_at=None).update(fired_at=now, said=said[:200]):
        return
    about = {"id": alert.code, "condition": alert.condition, "number": alert.number, "said": said}
    events.tell_webhooks(Event.ALERT, alert.experiment, alert=about)
    if alert.created_by is not None:
        address = settings.PUBLIC_URL + reverse("alerts", args=[alert.experiment.code])
        why = f"You get this because you asked to be told: {address}"
        events.write_to(alert.created_by, alert.experiment, f"alert: {said}", "", why)
