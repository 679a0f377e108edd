"""Boards, their versions, and frozen copies."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone

from webapp.accounts.models import Team
from webapp.boards.content import Content


class Board(models.Model):
    """``content`` is that of version ``version``, as webapp.boards.content.Content writes it."""

    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="boards")
    title = models.CharField(max_length=120)
    content = models.JSONField(encoder=DjangoJSONEncoder)
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[models.Manager[Board]] = models.Manager()

    class Meta:
        indexes = [models.Index(fields=["team", "-updated_at"], name="boards_of_a_team")]

    def __str__(self) -> str:
        return self.title

    @property
    def shown(self) -> Content:
        return Content.model_validate(self.content)


class BoardVersion(models.Model):
    """One save: who, when, and what it changed in words. The name survives the person's account."""

    board = models.ForeignKey(Board, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    content = models.JSONField(encoder=DjangoJSONEncoder)
    changes = models.TextField()
    saved_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    saved_by_name = models.CharField(max_length=120)
    saved_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[models.Manager[BoardVersion]] = models.Manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["board", "number"], name="one_board_version_per_number")]

    def __str__(self) -> str:
        return f"version {self.number} of {self.board_id}"


class FrozenBoard(models.Model):
    """A board as it was: its tiles, and for each of them all numbers that it draws. Nothing in it changes any more,
    also when the experiments go on or are deleted."""

    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    board = models.ForeignKey(Board, on_delete=models.CASCADE, related_name="frozen")
    title = models.CharField(max_length=120)
    version = models.PositiveIntegerField()
    kept = models.JSONField(encoder=DjangoJSONEncoder)  # see webapp.boards.freezing
    frozen_by_name = models.CharField(max_length=120)
    frozen_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[models.Manager[FrozenBoard]] = models.Manager()

    class Meta:
        indexes = [models.Index(fields=["board", "-frozen_at"], name="frozen_copies_of_a_board")]

    def __str__(self) -> str:
        return f"{self.title}, frozen"
