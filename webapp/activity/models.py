"""Who did what and when. Entries hold names as they were, so that they outlive people, teams and what was changed."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone

from webapp.accounts.models import Team


class Entry(models.Model):
    at = models.DateTimeField(default=timezone.now)
    team = models.ForeignKey(Team, on_delete=models.SET_NULL, null=True, related_name="+")
    team_name = models.CharField(max_length=80, blank=True)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    actor_name = models.CharField(max_length=120)
    via = models.CharField(max_length=100, blank=True)  # the API token that was used; empty: pages
    action = models.CharField(max_length=60)  # name of the address, or id of the API's operation
    target = models.CharField(max_length=160, blank=True)  # what it was done to, as it was called before
    address = models.GenericIPAddressField(null=True)  # that the request came from

    objects: ClassVar[models.Manager[Entry]] = models.Manager()

    class Meta:
        indexes = [
            models.Index(fields=["team", "-at"], name="activity_of_a_team"),
            models.Index(fields=["actor", "-at"], name="activity_of_a_person"),
        ]

    def __str__(self) -> str:
        return f"{self.actor_name}: {self.action} {self.target}"
