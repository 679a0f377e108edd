"""Webhooks, what is on its way to them and to mailboxes, and how each attempt went."""

from __future__ import annotations

import uuid
from typing import ClassVar
from urllib.parse import urlsplit

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import salted_hmac

from jobs.models import Experiment
from webapp.accounts.models import Team, User


class Event(models.TextChoices):
    """What a webhook may be told. The value is the event's name in header and body."""

    FINISHED = "experiment.finished", "An experiment is finished"
    FAILED = "experiment.failed", "An experiment failed"
    CANCELLED = "experiment.cancelled", "An experiment was cancelled"
    ALERT = "alert", "An alert rule of an experiment holds"


TEST = "test"  # what the Test button sends, whatever was chosen


class Webhook(models.Model):
    """An address outside that a team's events are posted to."""

    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="webhooks")
    url = models.CharField(max_length=500)
    events = models.JSONField(default=list)  # values of Event
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[models.Manager[Webhook]] = models.Manager()

    def __str__(self) -> str:
        """The host only: the path is often a secret of its own."""
        return urlsplit(self.url).hostname or "webhook"

    @property
    def secret(self) -> str:
        """What its messages are signed with, shown once.

        A signing key cannot be kept hashed, so it is not kept at all: it is derived from the installation's secret key,
        and a leaked table signs nothing.
        """
        return "whsec_" + salted_hmac("canopy.webhook", str(self.code), algorithm="sha256").hexdigest()

    @property
    def event_labels(self) -> list[str]:
        return [event.label for event in Event if event in self.events]


class State(models.TextChoices):
    WAITING = "waiting", "Waiting"
    SENT = "sent", "Sent"
    GIVEN_UP = "given_up", "Given up"


class Outgoing(models.Model):
    """Something to send. Only webapp.notifications.delivery changes its state."""

    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    # When it is tried next. Whoever tries moves it on first, so that one who is killed meanwhile leaves it due again.
    due_at = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveSmallIntegerField(default=0)

    class Meta:
        abstract = True


class Delivery(Outgoing):
    """One event for one webhook. ``code`` is the event's id there, by which a receiver drops doubles."""

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    event = models.CharField(max_length=30)
    body = models.TextField()  # JSON as it is signed, byte for byte

    objects: ClassVar[models.Manager[Delivery]] = models.Manager()

    class Meta:
        indexes = [
            models.Index(fields=["due_at"], condition=Q(state="waiting"), name="due_deliveries"),
            models.Index(fields=["webhook", "-created_at"], name="latest_deliveries"),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.webhook}"


class Attempt(models.Model):
    """How one attempt to deliver went."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="log")
    at = models.DateTimeField(default=timezone.now)
    seconds = models.FloatField()
    status = models.PositiveSmallIntegerField(null=True)  # of the answer; None: there was none
    text = models.CharField(max_length=200, blank=True)  # what went wrong, or how the answer begins

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.status or 'no answer'} after {self.seconds:.1f} s"


class Mail(Outgoing):
    """One message to one person, at the address that the account has when it is sent."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    subject = models.CharField(max_length=200)
    body = models.TextField()

    objects: ClassVar[models.Manager[Mail]] = models.Manager()

    class Meta:
        indexes = [models.Index(fields=["due_at"], condition=Q(state="waiting"), name="due_mails")]

    def __str__(self) -> str:
        return self.subject


class MailWhen(models.TextChoices):
    OFF = "off", "Never"
    FAILURES = "failures", "When one of my experiments fails"
    ALL = "all", "Whenever one of my experiments ends"


class MailSetting(models.Model):
    """When a person wants mail; nobody does who has none."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="mail_setting")
    when = models.CharField(max_length=8, choices=MailWhen, default=MailWhen.OFF)

    objects: ClassVar[models.Manager[MailSetting]] = models.Manager()

    def __str__(self) -> str:
        return self.get_when_display()


class Condition(models.TextChoices):
    """What an alert waits for; its number stands in place of the dots."""

    AT_LEAST = "at_least", "The result is at least …"  # as in Experiment.summary: a coverage of 74% is 0.74
    AT_MOST = "at_most", "The result is at most …"
    LONGER = "longer", "It runs for more than … hours"
    STUCK = "stuck", "It runs for … minutes without progress"


class Alert(models.Model):
    """A rule of one experiment. It holds once: then whoever made it and the team's webhooks are told."""

    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="alerts")
    condition = models.CharField(max_length=8, choices=Condition)
    number = models.FloatField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    fired_at = models.DateTimeField(null=True, blank=True)
    said = models.CharField(max_length=200, blank=True)  # what was so when it held, in words
    # For STUCK: units done when somebody looked, and since when there are as many.
    done = models.PositiveBigIntegerField(default=0)
    done_since = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[models.Manager[Alert]] = models.Manager()

    class Meta:
        indexes = [models.Index(fields=["experiment"], condition=Q(fired_at=None), name="waiting_alerts")]

    def __str__(self) -> str:
        return self.get_condition_display().replace("…", f"{self.number:g}")
