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
from webapp.accounts.models import Team
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
    event = _EVENTS[status]
    for webhook in Webhook.objects.filter(team=experiment.team_id):
        if event in webhook.events:
            queue(webhook, event, experiment.team, {"experiment": _described(experiment)})
    _mail_owner(experiment, status)


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


def _mail_owner(experiment: Experiment, status: Status) -> None:
    """Unless the owner does not want it, left the team, or is shut out."""
    owner = experiment.owner
    if owner is None or not owner.is_active or not experiment.team.memberships.filter(user=owner).exists():
        return
    setting = MailSetting.objects.filter(user=owner).first()
    if setting is None or status not in _MAILED[setting.when]:
        return
    name = " ".join(experiment.name.split())  # a header has one line
    lines = [f"{name} {_ENDINGS[status]}.", experiment.reason if status != Status.FINISHED else "", _link(experiment)]
    lines.append(f"You get this because your account says so: {settings.PUBLIC_URL}{reverse('account')}")
    Mail.objects.create(
        user=owner, subject=f"{name} {_ENDINGS[status]}", body="\n\n".join(line for line in lines if line) + "\n"
    )
