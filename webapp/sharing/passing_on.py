"""How a new link is passed on: its address, as a QR code, and as an iframe to paste into a page."""

from __future__ import annotations

from typing import Any

import segno
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from webapp.sharing.models import ShareLink
from webapp.sharing.targets import target_of
from webapp.sharing.words import scope_of


def shown_once(request: HttpRequest, link: ShareLink, token: str) -> dict[str, Any]:
    """What is said of a new link, and never again: its address holds the token."""
    target = target_of(link)
    about = target.about(link) if target else None
    scope = scope_of(link)
    url = request.build_absolute_uri(reverse("shared", args=[token]))
    frame = request.build_absolute_uri(reverse("embedded", args=[token])) if link.embed_hosts else ""
    return {
        "code": str(link.code),
        "url": url,
        "qr": qr_data_uri(url),
        "embed_url": frame,
        "embed_code": iframe_code(frame, about.title if about and not link.anonymous else "Canopy") if frame else "",
        "title": about.title if about else "",
        "label": link.label,
        "expires": link.expires_at,
        "shows": scope.shows,
        "hides": scope.hides,
        "terms": scope.terms,
    }


def qr_data_uri(url: str) -> str:
    """The address as an SVG picture, dark on white whatever the theme, since scanners want it so."""
    code = segno.make(url, error="m", micro=False)
    return str(code.svg_data_uri(border=3, dark="#111418", light="#ffffff", omitsize=True, xmldecl=False))


def iframe_code(url: str, title: str) -> str:
    """HTML for another site. ``url``: of the embedded page."""
    return str(
        format_html(
            '<iframe src="{}" title="{}" width="100%" height="560" loading="lazy" referrerpolicy="no-referrer" '
            'sandbox="allow-scripts allow-same-origin allow-downloads"></iframe>',
            url,
            title,
        )
    )
