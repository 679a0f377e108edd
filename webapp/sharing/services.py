"""Making and ending share links: the one place for pages and the API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.utils import timezone

from webapp.access_events import link_changed
from webapp.accounts.models import Team, User
from webapp.api.models import ApiToken
from webapp.sharing.models import ShareLink, Snapshot
from webapp.sharing.targets import CannotShare, ShareTarget, get_target
from webapp.tokens import hash_token, new_token

TOKEN_PREFIX = 6  # characters kept in clear, to tell links apart in the list
MOST_SNAPSHOT = 8 * 1024 * 1024  # bytes of what a frozen link keeps
MOST_HOSTS = 10
# What frame-ancestors takes: a host, perhaps with any subdomain, a scheme and a port.
_HOST = re.compile(r"(?:https?://)?(?:\*\.)?[a-z0-9](?:[a-z0-9.-]{0,250}[a-z0-9])?(?::\d{1,5})?")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Options:
    """How a link is to be made."""

    target: str
    scope: Json
    label: str = ""
    expires_at: datetime | None = None
    include_samples: bool = True
    anonymous: bool = False
    freeze: bool = False
    embed_hosts: Sequence[str] = ()


def draft(team: Team, options: Options) -> ShareLink:
    """The link as it would be, not saved and without a token. Raises CannotShare."""
    target = _target(options)
    subject = target.clean(team, options.scope)
    return ShareLink(
        team=team,
        target=target.name,
        scope=subject.scope,
        experiment=subject.experiment,
        label=options.label,
        include_samples=options.include_samples,
        anonymous=options.anonymous,
        embed_hosts=clean_hosts(options.embed_hosts),
        expires_at=options.expires_at,
    )


def make_link(
    team: Team, options: Options, *, by: User | None = None, token: ApiToken | None = None
) -> tuple[ShareLink, str]:
    """A new link and its token, which only this call knows. Raises CannotShare. ``token``: of the service account that
    makes it, in place of a person."""
    link, text = draft(team, options), new_token()
    link.created_by, link.created_with = by, token if by is None else None
    link.token_prefix, link.token_hash = text[:TOKEN_PREFIX], hash_token(text)
    with transaction.atomic():
        link.save()
        if options.freeze:
            _freeze(link, _target(options))
    return link, text


def _target(options: Options) -> ShareTarget:
    target = get_target(options.target)
    if target is None:
        raise CannotShare("There is no such thing to share.")
    if options.freeze and not target.can_freeze:
        raise CannotShare(f"{target.title} cannot be frozen: it always shows what is there now.")
    if options.anonymous and not target.can_hide_people:
        raise CannotShare(f"{target.title} cannot be shared anonymously.")
    return target


def _freeze(link: ShareLink, target: ShareTarget) -> None:
    content = json.dumps(target.freeze(link), cls=DjangoJSONEncoder)
    size = len(content.encode())
    if size > MOST_SNAPSHOT:
        raise CannotShare(
            f"This is too large to freeze: {size / 1e6:.0f} MB of figures, and a link keeps "
            f"{MOST_SNAPSHOT / 1e6:.0f} MB. Share one chart of it, or a live link."
        )
    Snapshot.objects.create(link=link, size=size, content=json.loads(content))


def clean_hosts(hosts: Iterable[str]) -> list[str]:
    """Hosts as frame-ancestors wants them. Raises CannotShare for anything else."""
    found = list(dict.fromkeys(host.strip().lower().rstrip("/") for host in hosts if host.strip()))
    for host in found:
        if not _HOST.fullmatch(host):
            raise CannotShare(f"{host[:60]} is no host. Write hosts such as lab.example.org or https://*.example.org.")
    if len(found) > MOST_HOSTS:
        raise CannotShare(f"At most {MOST_HOSTS} sites may show a link in a frame.")
    return found


# --- afterwards -------------------------------------------------------------------------------------------------------


def pause(link: ShareLink) -> bool:
    """Whether that changed anything."""
    return _change(link, ShareLink.objects.not_ended().filter(paused_at=None), paused_at=timezone.now())


def resume(link: ShareLink) -> bool:
    return _change(link, ShareLink.objects.not_ended().exclude(paused_at=None), paused_at=None)


def revoke(link: ShareLink) -> bool:
    """It never works again."""
    return _change(link, ShareLink.objects.not_ended(), revoked_at=timezone.now())


def _change(link: ShareLink, from_: Any, **values: Any) -> bool:
    if not from_.filter(pk=link.pk).update(**values):
        return False
    for name, value in values.items():
        setattr(link, name, value)
    link_changed(link)
    return True
