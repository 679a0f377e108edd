"""The panel of a tile: the kind's own template with the tile's own context."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from webapp.boards.show import Shown

register = template.Library()


@register.simple_tag
def tile_panel(shown: Shown) -> SafeString:
    context: dict[str, Any] = {**shown.context, "tile": True, "colour": f"c{shown.colour}"}
    return render_to_string(shown.template, context)
