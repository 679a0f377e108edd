"""The part of the account page that shows API tokens."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.context import RequestContext

from webapp.api.forms import TokenForm
from webapp.api.models import ApiToken

register = template.Library()


@register.inclusion_tag("api/tokens_panel.html", takes_context=True)
def tokens_panel(context: RequestContext) -> dict[str, Any]:
    user = context["user"]
    tokens = ApiToken.objects.active().manageable_by(user).select_related("user", "team", "created_by")
    return {
        "tokens": tokens.order_by("-created_at"),
        "form": TokenForm(user),
        "csrf_token": context.get("csrf_token"),
    }
