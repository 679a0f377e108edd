"""Sends what waits: a chore of the reconciler's process (jobs.chores).

A row is claimed by moving its time on. Who is killed while sending leaves it due again after ``_CLAIM``, so everything
is sent at least once, and the id in the message lets a receiver drop doubles.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar

from django.core.mail import send_mail
from django.db.models import F, Min, QuerySet
from django.utils import timezone

from webapp.notifications import sending
from webapp.notifications.models import Attempt, Delivery, Mail, Outgoing, State

logger = logging.getLogger(__name__)
Row = TypeVar("Row", bound=Outgoing)

# Before the second attempt, the third, ...; after the last one it is given up.
WAITS = tuple(timedelta(seconds=seconds) for seconds in (10, 60, 300, 1800, 7200))
KEPT_DELIVERIES = 100  # in the log of a webhook
_CLAIM = timedelta(seconds=120)  # longer than an attempt can take
_AT_ONCE = 8


def deliver() -> bool:
    """Send a few of what is due; True when something was."""
    return _deliver_webhooks() + _deliver_mail() > 0


# --- what both have in common -----------------------------------------------------------------------------------------


def _claimed(rows: Iterable[Row]) -> list[Row]:
    """Those that nobody else claimed meanwhile."""
    return [row for row in rows if _claim(row)]


def _claim(row: Outgoing) -> bool:
    mine = type(row)._base_manager.filter(pk=row.pk, state=State.WAITING, due_at=row.due_at)
    return bool(mine.update(due_at=timezone.now() + _CLAIM, attempts=F("attempts") + 1))


def _settle(row: Outgoing, *, good: bool) -> None:
    """After the attempt: sent, given up, or due again."""
    row.refresh_from_db(fields=["attempts", "due_at"])
    if good or row.attempts > len(WAITS):
        row.state = State.SENT if good else State.GIVEN_UP
    else:
        row.due_at = timezone.now() + WAITS[row.attempts - 1]
    row.save(update_fields=["state", "due_at"])


def _due(rows: QuerySet[Row]) -> QuerySet[Row]:
    return rows.filter(state=State.WAITING, due_at__lte=timezone.now()).order_by("due_at")


# --- webhooks ---------------------------------------------------------------------------------------------------------


def _deliver_webhooks() -> int:
    """One for each webhook at a time, so that a slow receiver holds up its own messages only."""
    due = _due(Delivery.objects.all()).order_by()
    first = due.values("webhook").annotate(first=Min("pk")).order_by("first").values_list("first", flat=True)
    claimed = _claimed(Delivery.objects.select_related("webhook").filter(pk__in=list(first[:_AT_ONCE])))
    if not claimed:
        return 0
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for delivery, answer in zip(claimed, pool.map(_post, claimed), strict=True):
            _record(delivery, answer)
    return len(claimed)


def _post(delivery: Delivery) -> sending.Answer:
    """Touches no database: it runs in a thread of its own."""
    body, timestamp = delivery.body.encode(), str(int(time.time()))
    headers = {
        "X-Canopy-Event": delivery.event,
        "X-Canopy-Id": str(delivery.code),
        "X-Canopy-Timestamp": timestamp,
        "X-Canopy-Signature": "sha256=" + sending.sign(delivery.webhook.secret, timestamp, body),
    }
    return sending.post(delivery.webhook.url, body, headers)


def _record(delivery: Delivery, answer: sending.Answer) -> None:
    if not Delivery.objects.filter(pk=delivery.pk).exists():  # the webhook was removed meanwhile
        return
    Attempt.objects.create(delivery=delivery, status=answer.status, text=answer.text, seconds=answer.seconds)
    _settle(delivery, good=answer.is_good)
    ended = Delivery.objects.filter(webhook=delivery.webhook_id).exclude(state=State.WAITING)
    old = list(ended.order_by("-created_at").values_list("pk", flat=True)[KEPT_DELIVERIES:])
    Delivery.objects.filter(pk__in=old).delete()


# --- mail -------------------------------------------------------------------------------------------------------------


def _deliver_mail() -> int:
    claimed = _claimed(_due(Mail.objects.select_related("user"))[:_AT_ONCE])
    for mail in claimed:
        try:
            send_mail(mail.subject, mail.body, None, [mail.user.email])
        except (OSError, ValueError) as error:  # SMTPException is an OSError
            logger.warning("mail %s could not be sent: %s", mail.code, error)
            _settle(mail, good=False)
        else:
            _settle(mail, good=True)
        if mail.state != State.WAITING:
            mail.delete()  # nobody reads it here, and it is personal
    return len(claimed)
