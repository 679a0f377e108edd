"""Share links: a random token, stored hashed, that opens one experiment read-only."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from jobs.models import Experiment
from webapp.tokens import hash_token


class ShareLinkQuerySet(models.QuerySet["ShareLink"]):
    def active(self) -> ShareLinkQuerySet:
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()), revoked_at=None)

    def find(self, token: str) -> ShareLink | None:
        """The link behind a token, usable or not: the page tells "expired" from "unknown"."""
        return self.filter(token_hash=hash_token(token)).select_related("experiment__team").first()


class ShareLink(models.Model):
    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="share_links")
    label = models.CharField(max_length=80, blank=True)
    token_prefix = models.CharField(max_length=6)
    token_hash = models.CharField(max_length=64, unique=True)
    include_samples = models.BooleanField("include sample texts", default=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    use_count = models.PositiveIntegerField(default=0)
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[ShareLinkQuerySet] = ShareLinkQuerySet.as_manager()  # type: ignore[assignment]

    def __str__(self) -> str:
        return f"/s/{self.token_prefix}… to {self.experiment}"

    @property
    def is_active(self) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())

    def record_use(self) -> None:
        ShareLink.objects.filter(pk=self.pk).update(use_count=F("use_count") + 1, last_used_at=timezone.now())
