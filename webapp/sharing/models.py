"""Share links: a random token, stored hashed, that opens one thing read-only, and what a frozen link keeps of it."""

from __future__ import annotations

import hmac
import uuid
from typing import Any, ClassVar

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.utils import timezone

from jobs.models import Experiment
from webapp.tokens import hash_token


class State(models.TextChoices):
    """What became of a link; an ended one never works again."""

    OPEN = "open", "Open"
    PAUSED = "paused", "Paused"
    EXPIRED = "expired", "Expired"
    REVOKED = "revoked", "Revoked"


class ShareLinkQuerySet(models.QuerySet["ShareLink"]):
    def in_state(self, state: str) -> ShareLinkQuerySet:
        lasting = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
        wanted = {
            State.OPEN: Q(revoked_at=None, paused_at=None) & lasting,
            State.PAUSED: Q(revoked_at=None, paused_at__isnull=False) & lasting,
            State.EXPIRED: Q(revoked_at=None) & ~lasting,
            State.REVOKED: Q(revoked_at__isnull=False),
        }
        return self.filter(wanted[State(state)])

    def active(self) -> ShareLinkQuerySet:
        return self.in_state(State.OPEN)

    def not_ended(self) -> ShareLinkQuerySet:
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()), revoked_at=None)

    def find(self, token: str) -> ShareLink | None:
        """The link behind a token, usable or not: the page tells "expired" from "unknown".

        What the index compares is an HMAC that a guesser cannot steer, so its time tells nothing about tokens; the
        whole of it is compared once more in constant time.
        """
        digest = hash_token(token)
        link = self.filter(token_hash=digest).select_related("team", "experiment__team", "snapshot").first()
        return link if link is not None and hmac.compare_digest(link.token_hash, digest) else None


class ShareLink(models.Model):
    """``target`` is the kind of thing it opens (webapp.sharing.targets) and ``scope`` says which one; nothing of both
    ever changes. ``experiment`` is set where the thing is, or is part of, one experiment, and ends with it."""

    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, related_name="share_links")
    target = models.CharField(max_length=20, default="experiment")
    scope = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    experiment = models.ForeignKey(
        Experiment, on_delete=models.CASCADE, null=True, blank=True, related_name="share_links"
    )
    label = models.CharField(max_length=80, blank=True)
    token_prefix = models.CharField(max_length=6)
    token_hash = models.CharField(max_length=64, unique=True)
    include_samples = models.BooleanField("include sample texts", default=True)
    anonymous = models.BooleanField(default=False)
    embed_hosts = models.JSONField(default=list, blank=True)  # sites that may show it in a frame; empty: none
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    # Set instead of created_by when a team's service account made it.
    created_with = models.ForeignKey("api.ApiToken", on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    use_count = models.PositiveIntegerField(default=0)
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[ShareLinkQuerySet] = ShareLinkQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes = [models.Index(fields=["team", "-created_at"], name="share_links_of_a_team")]

    def __str__(self) -> str:
        return f"/s/{self.token_prefix}… to one {self.target}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.experiment is not None and not self.team_id:
            self.team_id = self.experiment.team_id
        super().save(*args, **kwargs)

    @property
    def state(self) -> State:
        if self.revoked_at is not None:
            return State.REVOKED
        if self.expires_at is not None and self.expires_at <= timezone.now():
            return State.EXPIRED
        return State.PAUSED if self.paused_at is not None else State.OPEN

    @property
    def is_active(self) -> bool:
        return self.state == State.OPEN

    @property
    def has_ended(self) -> bool:
        return self.state in {State.REVOKED, State.EXPIRED}

    @property
    def frozen(self) -> Snapshot | None:
        """What it shows of the moment it was frozen at; None for a live link."""
        return getattr(self, "snapshot", None)

    @property
    def maker(self) -> str:
        """Who made it, in words."""
        if self.created_with is not None:
            return f"service account {self.created_with.name}"
        return self.created_by.name if self.created_by else "somebody who left"


class Snapshot(models.Model):
    """What a frozen link shows, as it was. Bounded by webapp.sharing.freezing."""

    link = models.OneToOneField(ShareLink, on_delete=models.CASCADE, related_name="snapshot")
    taken_at = models.DateTimeField(default=timezone.now)
    size = models.PositiveIntegerField()  # bytes of content
    content = models.JSONField(encoder=DjangoJSONEncoder)

    def __str__(self) -> str:
        return f"{self.link} as of {self.taken_at:%Y-%m-%d %H:%M}"
