"""A team's own prices of tokens and GPU hours, and who changed what."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from webapp.accounts.models import Team


class PriceKind(models.TextChoices):
    TOKENS = "tokens", "Tokens of a model"
    GPU = "gpu", "Hours of a GPU"


class Price(models.Model):
    """One row: amounts in ``currency``, of which one unit is ``dollars`` US$. Only webapp.prices.table writes it."""

    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="prices")
    kind = models.CharField(max_length=6, choices=PriceKind)
    name = models.CharField(max_length=120)  # of the model or the GPU
    input = models.FloatField(null=True, blank=True)  # for a million tokens read
    output = models.FloatField(null=True, blank=True)  # for a million tokens written
    cached = models.FloatField(null=True, blank=True)  # for a million tokens read that the service had in its cache
    per_hour = models.FloatField(null=True, blank=True)  # for an hour of one GPU
    currency = models.CharField(max_length=3, default="USD")
    dollars = models.FloatField(default=1.0)
    as_of = models.DateField()
    source = models.CharField(max_length=200)
    updated_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    updated_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[models.Manager[Price]] = models.Manager()

    class Meta:
        constraints = [
            models.UniqueConstraint("team", "kind", Lower("name"), name="one_price_per_name"),
            models.CheckConstraint(
                condition=Q(kind="tokens", input__isnull=False, output__isnull=False, per_hour__isnull=True)
                | Q(kind="gpu", per_hour__isnull=False, input__isnull=True, output__isnull=True, cached__isnull=True),
                name="a_price_is_of_tokens_or_hours",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class PriceChange(models.Model):
    """One change of the table. It outlives the row and the person: both are copied in words."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="price_changes")
    at = models.DateTimeField(default=timezone.now)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    by_name = models.CharField(max_length=120)
    name = models.CharField(max_length=120)
    before = models.TextField(blank=True)  # the row in words; empty: it was added
    after = models.TextField(blank=True)  # empty: it was removed

    objects: ClassVar[models.Manager[PriceChange]] = models.Manager()

    class Meta:
        indexes = [models.Index(fields=["team", "-at"], name="latest_price_changes")]

    def __str__(self) -> str:
        return f"{self.name}: {self.before or 'nothing'} -> {self.after or 'nothing'}"
