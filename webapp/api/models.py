"""Tokens of the API, shown once and kept hashed, and the keys that make a repeated submit harmless."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from jobs.models import Experiment
from webapp.accounts.models import Membership, Role, Team, User
from webapp.tokens import hash_token, new_token

PREFIX = 12  # characters kept in clear ("cnp_w_" and six more), to tell tokens apart in the list
USE_NOTED_EVERY = timedelta(minutes=1)  # "last used" is written at most this often: a poll must cost no write


class Scope(models.TextChoices):
    READ = "read", "Read"
    WRITE = "write", "Read and write"


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def active(self) -> ApiTokenQuerySet:
        return self.filter(
            Q(expires_at=None) | Q(expires_at__gt=timezone.now()),
            Q(user=None) | Q(user__is_active=True),
            revoked_at=None,
        )

    def find(self, token: str) -> ApiToken | None:
        """The active token behind what a client sent."""
        return self.active().filter(token_hash=hash_token(token)).select_related("user", "team").first()

    def manageable_by(self, user: User) -> ApiTokenQuerySet:
        """A person's own tokens, and the service accounts of the teams that the person owns."""
        owned = Membership.objects.filter(user=user, role=Role.OWNER).values("team")
        return self.filter(Q(user=user) | Q(user=None, team__in=owned))


class ApiToken(models.Model):
    """Acts for ``user`` (in ``team`` only, when that is set), or as a service account of ``team`` (``user`` empty).

    A person's token can never do more than the person's role allows now; a service account is a member of its team
    with scope write, a viewer with scope read.
    """

    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=80)
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, blank=True, related_name="api_tokens")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, null=True, blank=True, related_name="api_tokens")
    scope = models.CharField(max_length=5, choices=Scope, default=Scope.READ)
    token_prefix = models.CharField(max_length=PREFIX)
    token_hash = models.CharField(max_length=64, unique=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[ApiTokenQuerySet] = ApiTokenQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(user__isnull=False) | Q(team__isnull=False), name="a_token_acts_for_one")
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.token_prefix}…)"

    @property
    def is_service_account(self) -> bool:
        return self.user_id is None

    @property
    def is_active(self) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())

    @property
    def can_write(self) -> bool:
        return self.scope == Scope.WRITE

    @property
    def actor(self) -> str:
        """Who did it, for logs that people read."""
        return self.user.name if self.user else f"the service account {self.name}"

    def roles(self) -> dict[int, str]:
        """The role in each team that the token reaches, by the team's primary key."""
        if self.user_id is None:
            assert self.team_id is not None
            return {self.team_id: Role.MEMBER if self.can_write else Role.VIEWER}
        memberships = Membership.objects.filter(user_id=self.user_id)
        if self.team_id is not None:
            memberships = memberships.filter(team_id=self.team_id)
        return dict(memberships.values_list("team_id", "role"))

    def note_use(self) -> None:
        now = timezone.now()
        if self.last_used_at is None or self.last_used_at < now - USE_NOTED_EVERY:
            ApiToken.objects.filter(pk=self.pk).update(last_used_at=now)


def make_token(
    *, name: str, scope: str, created_by: User, user: User | None, team: Team | None, days: int | None
) -> tuple[ApiToken, str]:
    """A new token and its text, which only this call knows. ``days`` None: it does not expire."""
    text = f"cnp_{'w' if scope == Scope.WRITE else 'r'}_{new_token()}"
    token = ApiToken.objects.create(
        name=name,
        scope=scope,
        user=user,
        team=team,
        created_by=created_by,
        token_prefix=text[:PREFIX],
        token_hash=hash_token(text),
        expires_at=None if days is None else timezone.now() + timedelta(days=days),
    )
    return token, text


class IdempotencyKey(models.Model):
    """A submit that a client may repeat: the same key and body give the same experiment, once."""

    token = models.ForeignKey(ApiToken, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)
    digest = models.CharField(max_length=64)  # of the request, so that a key cannot stand for two
    experiment = models.ForeignKey(Experiment, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["token", "key"], name="one_request_per_key")]

    def __str__(self) -> str:
        return self.key
