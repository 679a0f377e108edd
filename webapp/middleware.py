"""What holds for every page that is opened by a link with a token in its address."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from webapp.rate_limits import TooManyAttempts
from webapp.sharing.access import LinkClosed
from webapp.sharing.models import ShareLink, State
from webapp.sharing.uses import note_use

# Share links and invitations: see webapp.experiments.live_urls and webapp.accounts.urls.
TOKEN_PATHS = ("/s/", "/e/", "/join/")


class LinkMiddleware:
    """Keeps tokens out of referrers, search engines and shared caches, counts uses, and answers links that
    ended or were guessed.

    It stands here rather than in a decorator so that error pages and pages yet to be written are covered too.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.path_info.startswith(TOKEN_PATHS):
            response["Referrer-Policy"] = "no-referrer"
            response["X-Robots-Tag"] = "noindex, nofollow, noarchive"
            response["Cache-Control"] = "private"
        link: ShareLink | None = getattr(request, "canopy_share", None)
        if link is not None and response.headers.get("Content-Type", "").startswith("text/html"):
            note_use(link)  # a page that was opened; its polling and downloads are no further use
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, LinkClosed):
            is_paused = exception.state == State.PAUSED
            return render(request, "410.html", {"is_paused": is_paused}, status=403 if is_paused else 410)
        if isinstance(exception, TooManyAttempts):
            return render(request, "429.html", {"exception": exception}, status=429)
        return None
