"""Who reaches what through a share link. Every address below /s/ and /e/ goes through ``opens``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponseBase
from django.urls import reverse

from webapp import rate_limits
from webapp.sharing.anonymity import Redactor, hide, redactor_of
from webapp.sharing.models import ShareLink, State
from webapp.sharing.targets import target_of

GUESSES, GUESS_SECONDS = 30, 600  # unknown tokens from one address before it has to wait
View = Callable[..., HttpResponseBase]


class LinkClosed(Exception):
    """A share link that does not work: ``state`` says whether that may change. webapp.middleware answers."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.state = state


@dataclass(frozen=True)
class Visit:
    """A request through a share link."""

    link: ShareLink
    token: str
    embedded: bool = False  # in a frame of another site

    def url(self, name: str = "shared", /, **extra: Any) -> str:
        return reverse(name, kwargs={"token": self.token} | extra)

    @property
    def frozen(self) -> dict[str, Any] | None:
        """What the link shows instead of what is there now; None for a live link."""
        return self.link.frozen.content if self.link.frozen else None

    @cached_property
    def redactor(self) -> Redactor | None:
        """What hides people and places; None where nothing is to be hidden."""
        return redactor_of(self.link) if self.link.anonymous else None


def find_link(token: str, guesser: str) -> ShareLink:
    """The open link behind a token. Raises Http404 (unknown, or of a target that is gone), LinkClosed, and
    TooManyAttempts for an address that guesses."""
    link = ShareLink.objects.find(token)
    if link is None:
        rate_limits.enforce("share-guess", guesser, limit=GUESSES, seconds=GUESS_SECONDS)
        raise Http404("no such link")
    if not link.is_active:
        raise LinkClosed(link.state)
    target = target_of(link)
    if target is None or target.about(link) is None:
        raise LinkClosed(State.EXPIRED)
    return link


def opens(*targets: str, embedded: bool = False) -> Callable[[View], View]:
    """Make ``view(request, visit, **rest)`` an address ``(request, token, **rest)`` for links to one of ``targets``
    (none named: any). A link to something else finds nothing there.

    webapp.middleware adds what every such answer needs, and counts the use.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def wrapper(request: HttpRequest, token: str, **rest: Any) -> HttpResponseBase:
            link = find_link(token, rate_limits.address(request))
            if targets and link.target not in targets:
                raise Http404("not part of what this link opens")
            visit = Visit(link, token, embedded)
            request.canopy_embedded = embedded  # type: ignore[attr-defined]  # templates/public.html
            request.canopy_share = link  # type: ignore[attr-defined]  # webapp.middleware counts its use
            return hide(view(request, visit, **rest), visit.redactor)

        return login_not_required(wrapper)

    return decorate
