"""How a link is passed on: as a QR code, and as an iframe to paste into a page."""

from __future__ import annotations

import segno
from django.utils.html import format_html


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
