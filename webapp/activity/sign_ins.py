"""Sign-ins, good and bad, as Django tells of them."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest

from webapp.accounts.models import User
from webapp.activity.recorder import record


@receiver(user_logged_in)
def _signed_in(request: HttpRequest | None, user: User, **_: Any) -> None:
    record(actor=user, actor_name=user.name, action="sign-in", request=request)


@receiver(user_logged_out)
def _signed_out(request: HttpRequest | None, user: User | None, **_: Any) -> None:
    if user is not None:
        record(actor=user, actor_name=user.name, action="sign-out", request=request)


@receiver(user_login_failed)
def _failed(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """Only for addresses that belong to somebody: a log must not collect what strangers type."""
    user = User.objects.filter(email=str(credentials.get("username", "")).lower()).first()
    if user is not None:
        record(actor=user, actor_name=user.name, action="sign-in-failed", request=request)
