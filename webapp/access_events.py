"""Tell open pages that somebody's access may have changed, so that their sockets check again at once.

The sockets also check every minute by themselves, so a message that is lost while the broker is away does no harm.
"""

from __future__ import annotations

import logging
from functools import partial

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction
from redis.exceptions import RedisError

from webapp.accounts.models import User
from webapp.sharing.models import ShareLink

logger = logging.getLogger(__name__)


def user_changed(user: User) -> None:
    """After the transaction: the person's memberships are not what they were."""
    transaction.on_commit(partial(_send, f"user.{user.pk}"))


def link_changed(link: ShareLink) -> None:
    """After the transaction: the share link was revoked or altered."""
    transaction.on_commit(partial(_send, f"share.{link.pk}"))


def _send(group: str) -> None:
    try:
        async_to_sync(get_channel_layer().group_send)(group, {"type": "access.changed"})
    except (RedisError, OSError):
        logger.warning("The live layer did not answer; pages of %s notice the change within a minute.", group)
