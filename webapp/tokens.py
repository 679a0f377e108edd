"""Random tokens for links: shown once, kept hashed."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from django.conf import settings


def new_token() -> str:
    """A link token of 192 random bits, safe in a URL."""
    return secrets.token_urlsafe(24)


def hash_token(token: str) -> str:
    """What the database keeps: HMAC-SHA256 under the secret key, so a leaked table opens no link."""
    return hmac.new(settings.SECRET_KEY.encode(), token.encode(), hashlib.sha256).hexdigest()
