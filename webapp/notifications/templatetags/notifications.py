"""The part of the account page about mail."""

from __future__ import annotations

from typing import Any

from django import template
from django.conf import settings
from django.template.context import RequestContext

from webapp.notifications.forms import MailForm

register = template.Library()


@register.inclusion_tag("notifications/mail_panel.html", takes_context=True)
def mail_panel(context: RequestContext) -> dict[str, Any]:
    return {
        "form": MailForm(context["user"]),
        "email": context["user"].email,
        "is_sent": bool(settings.EMAIL_HOST),
        "csrf_token": context.get("csrf_token"),
    }
