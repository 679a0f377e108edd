"""The pages of a team's webhooks, which owners see and manage, the alerts of an experiment, the setting for mail."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from webapp import rate_limits
from webapp.accounts.models import Team, User
from webapp.experiments.access import ExperimentAccess, get_team, resolve_member
from webapp.notifications import events
from webapp.notifications.forms import AlertForm, MailForm, WebhookForm
from webapp.notifications.models import Alert, Event, State, Webhook

_SHOWN = 50  # deliveries on a page
_CHIPS = {State.WAITING: ("queued", "clock"), State.SENT: ("finished", "check"), State.GIVEN_UP: ("failed", "warn")}


@require_safe
def webhooks(request: HttpRequest, team: UUID) -> HttpResponse:
    found, _ = get_team(request, team, manage=True)
    return _list(request, found, WebhookForm(found))


@require_POST
def add(request: HttpRequest, team: UUID) -> HttpResponse:
    """Make a webhook and show its secret, this once."""
    found, _ = get_team(request, team, manage=True)
    form = WebhookForm(found, request.POST)
    if not form.is_valid():
        return _list(request, found, form, status=422)
    made = form.create(cast(User, request.user))
    response = _list(request, found, WebhookForm(found), made=made)
    response["Cache-Control"] = "no-store"
    return response


def _list(
    request: HttpRequest, team: Team, form: WebhookForm, *, made: Webhook | None = None, status: int = 200
) -> HttpResponse:
    found = Webhook.objects.filter(team=team).select_related("created_by").order_by("created_at")
    context = {"team": team, "webhooks": found, "form": form, "choices": Event.choices, "made": made}
    return render(request, "notifications/webhooks.html", context, status=status)


@require_safe
def webhook(request: HttpRequest, team: UUID, webhook: UUID) -> HttpResponse:
    found, _ = get_team(request, team, manage=True)
    row = get_object_or_404(Webhook.objects.select_related("created_by"), team=found, code=webhook)
    deliveries = row.deliveries.prefetch_related("log").order_by("-created_at")[:_SHOWN]
    context = {
        "team": found,
        "webhook": row,
        "deliveries": [(each, _CHIPS[State(each.state)]) for each in deliveries],
    }
    return render(request, "notifications/webhook.html", context)


@require_POST
def test(request: HttpRequest, team: UUID, webhook: UUID) -> HttpResponse:
    found, _ = get_team(request, team, manage=True)
    row = get_object_or_404(Webhook, team=found, code=webhook)
    rate_limits.enforce("webhook-test", str(row.code), limit=10, seconds=60)
    events.queue_test(row)
    messages.success(request, "The test is on its way. Load this page again to see how it went.")
    return redirect("webhook", team, webhook)


@require_POST
def remove(request: HttpRequest, team: UUID, webhook: UUID) -> HttpResponse:
    found, _ = get_team(request, team, manage=True)
    get_object_or_404(Webhook, team=found, code=webhook).delete()
    messages.success(request, "The webhook is removed, with what it was still to be told.")
    return redirect("webhooks", team)


@require_safe
def alerts(request: HttpRequest, code: UUID) -> HttpResponse:
    access = resolve_member(request, code)
    return _alerts(request, access, AlertForm(access.experiment))


@require_POST
def alert_add(request: HttpRequest, code: UUID) -> HttpResponse:
    access = resolve_member(request, code, write=True)
    form = AlertForm(access.experiment, request.POST)
    if not form.is_valid():
        return _alerts(request, access, form, status=422)
    form.create(cast(User, request.user))
    messages.success(request, "You are told once, as soon as it is so.")
    return redirect("alerts", code)


def _alerts(request: HttpRequest, access: ExperimentAccess, form: AlertForm, *, status: int = 200) -> HttpResponse:
    found = access.experiment.alerts.select_related("created_by").order_by("created_at")
    context = {"access": access, "experiment": access.experiment, "alerts": found, "form": form}
    return render(request, "notifications/alerts.html", context, status=status)


@require_POST
def alert_remove(request: HttpRequest, code: UUID, alert: UUID) -> HttpResponse:
    access = resolve_member(request, code, write=True)
    get_object_or_404(Alert, experiment=access.experiment, code=alert).delete()
    messages.success(request, "The alert is removed.")
    return redirect("alerts", code)


@require_POST
def mail_setting(request: HttpRequest) -> HttpResponse:
    form = MailForm(cast(User, request.user), request.POST)
    if form.is_valid():
        form.save()
        messages.success(request, "Your choice is saved.")
    else:
        messages.error(request, "Choose when to be written to.")
    return redirect("account")
