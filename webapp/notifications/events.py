"""Writes what is to be sent, in the transaction of what happened."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.urls import reverse
from django.utils import timezone

from jobs.models import Experiment, Status
from webapp.accounts.models import Team, User
from webapp.notifications.models import TEST, Delivery, Event, Mail, MailSetting, MailWhen, Webhook

_EVENTS = {Status.FINISHED: Event.FINISHED, Status.FAILED: Event.FAILED, Status.CANCELLED: Event.CANCELLED}
_ENDINGS = {Status.FINISHED: "is finished", Status.FAILED: "failed", Status.CANCELLED: "was cancelled"}
_MAILED: dict[str, set[Status]] = {
    MailWhen.OFF: set(),
    MailWhen.FAILURES: {Status.FAILED},
    MailWhen.ALL: set(_ENDINGS),
}


def on_experiment_ended(sender: Any, *, experiment: Experiment, **_: Any) -> None:
    """Receiver of jobs.signals.experiment_ended."""
    status = Status(experiment.status)
    tell_webhooks(_EVENTS[status], experiment)
    owner = experiment.owner
    setting = MailSetting.objects.filter(user=owner).first() if owner else None
    if owner and setting and status in _MAILED[setting.when]:
        why = "You get this because your account says so: " + settings.PUBLIC_URL + reverse("account")
        write_to(owner, experiment, _ENDINGS[status], experiment.reason if status != Status.FINISHED else "", why)


def tell_webhooks(event: Event, experiment: Experiment, **about: Any) -> None:
    for webhook in Webhook.objects.filter(team=experiment.team_id):
        if event in webhook.events:
            queue(webhook, event, experiment.team, {"experiment": _described(experiment), **about})


def write_to(user: User, experiment: Experiment, what: str, reason: str, why: str) -> None:
    """Have a mail sent that begins with the experiment's name and ``what``, unless the person left or is shut out."""
    if not user.is_active or not experiment.team.memberships.filter(user=user).exists():
        return
    subject = f"{' '.join(experiment.name.split())} {what}"  # a header has one line
    lines = [f"{subject}.", reason, _link(experiment), why]
    Mail.objects.create(user=user, subject=subject[:200], body="\n\n".join(line for line in lines if line) + "\n")


def queue(webhook: Webhook, event: str, team: Team, about: dict[str, Any]) -> Delivery:
    """Have the event posted to the webhook; ``about`` is added to what every body has."""
    code = uuid.uuid4()
    body = {
        "id": code,
        "event": event,
        "created_at": timezone.now(),
        "team": {"id": team.code, "name": team.name},
        **about,
    }
    text = json.dumps(body, cls=DjangoJSONEncoder, separators=(",", ":"))
    return Delivery.objects.create(code=code, webhook=webhook, event=event, body=text)


def queue_test(webhook: Webhook) -> Delivery:
    return queue(webhook, TEST, webhook.team, {})


def _link(experiment: Experiment) -> str:
    return settings.PUBLIC_URL + reverse("experiment", args=[experiment.code])


def _described(experiment: Experiment) -> dict[str, Any]:
    return {
        "id": experiment.code,
        "name": experiment.name,
        "kind": experiment.kind,
        "status": experiment.status,
        "reason": experiment.reason,
        "owner": experiment.owner.name if experiment.owner else None,
        "url": _link(experiment),
        "created_at": experiment.created_at,
        "started_at": experiment.started_at,
        "finished_at": experiment.finished_at,
        "summary": experiment.summary,
    }
