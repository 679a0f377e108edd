"""What a link opens, in plain words: said before it is made, on its row in the list, and to whoever opens it."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.utils import timezone

from webapp.sharing.models import ShareLink
from webapp.sharing.targets import target_of


@dataclass(frozen=True, slots=True)
class Scope:
    """Sentences without their full stops."""

    kind: str  # "One experiment"
    shows: list[str] = field(default_factory=list)
    hides: list[str] = field(default_factory=list)
    terms: list[str] = field(default_factory=list)  # for whom, until when, as of when


def scope_of(link: ShareLink, *, freeze: bool = False) -> Scope:
    """``link`` may be one that is not saved yet; ``freeze``: then whether it will be frozen."""
    target = target_of(link)
    if target is None or target.about(link) is None:
        return Scope("Something that is gone", [], ["Everything: what it opened no longer exists"])
    frozen = freeze or bool(link.pk and link.frozen)
    words = target.words(link, frozen=frozen)
    hides = list(words.hides)
    if link.anonymous:
        hides.append("Names of people, team, machines, folders and uploaded files, in pages and in downloads")
    return Scope(target.title, list(words.shows), hides, terms_of(link, freeze=freeze))


def terms_of(link: ShareLink, *, freeze: bool = False) -> list[str]:
    terms = ["Anyone who has the link, without signing in; read-only"]
    if link.expires_at is None:
        terms.append("Until it is revoked")
    else:
        terms.append(f"Until {timezone.localtime(link.expires_at):%-d %B %Y, %H:%M}")
    frozen = link.frozen if link.pk else None
    if frozen:
        terms.append(
            f"As it was on {timezone.localtime(frozen.taken_at):%-d %B %Y at %H:%M}; later changes do not show"
        )
    elif freeze:
        terms.append("As it is at this moment; later changes do not show")
    else:
        terms.append("Live: it shows what changes")
    if link.embed_hosts:
        terms.append(f"May be shown in a frame on {', '.join(link.embed_hosts)}")
    return terms
