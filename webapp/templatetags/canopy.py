"""Template tags that every page may use."""

from __future__ import annotations

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag
def icon(name: str) -> SafeString:
    """A 16 px icon from the sprite, hidden from screen readers: words stand beside it."""
    return format_html(
        '<svg class="icon" aria-hidden="true"><use href="{}#i-{}"/></svg>', static("webapp/img/icons.svg"), name
    )


@register.filter
def amount(value: float | None) -> str:
    """A price as it was written: ``2.5``, ``1,200``, ``0.075``; never an exponent. Empty for None."""
    if value is None:
        return ""
    text = f"{value:,.6f}".rstrip("0").rstrip(".")
    return text if float(text.replace(",", "")) or not value else f"{value:.12f}".rstrip("0")
