"""The page of a team's prices. Everybody in the team reads it; owners change it."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from webapp.accounts.models import Team, User
from webapp.experiments.access import get_team
from webapp.prices import table
from webapp.prices.forms import PriceForm
from webapp.prices.models import Price, PriceKind


@require_safe
def prices(request: HttpRequest, team: UUID) -> HttpResponse:
    found, membership = get_team(request, team)
    rows = table.rows_of(found)
    context = {
        "team": found,
        "membership": membership,
        "tokens": [row for row in rows if row.kind == PriceKind.TOKENS],
        "gpus": [row for row in rows if row.kind == PriceKind.GPU],
        "inherited": table.inherited(found, rows),
        "changes": table.changes_of(found),
        "kinds": PriceKind.choices,
    }
    return render(request, "prices/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest, team: UUID, kind: str) -> HttpResponse:
    found, _ = get_team(request, team, manage=True)
    if kind not in PriceKind.values:
        raise Http404("no such kind of price")
    form = PriceForm(kind, request.POST if request.method == "POST" else None)
    if form.is_valid() and form.row is not None:
        try:
            made = table.add(team=found, row=form.row, by=cast(User, request.user))
        except table.Refused as error:
            form.add_error("name", str(error))
        else:
            messages.success(request, f"The price of {made.name} holds from now on.")
            return redirect("prices", team)
    return _form(request, found, form)


@require_http_methods(["GET", "HEAD", "POST"])
def change(request: HttpRequest, team: UUID, price: UUID) -> HttpResponse:
    found, _ = get_team(request, team, manage=True)
    row = _find(found, price)
    form = PriceForm(row.kind, request.POST if request.method == "POST" else None, price=row)
    if form.is_valid() and form.row is not None:
        try:
            table.change(price=row, row=form.row, by=cast(User, request.user))
        except table.Refused as error:
            form.add_error("name", str(error))
        else:
            messages.success(request, f"The price of {form.row.name} is changed.")
            return redirect("prices", team)
    return _form(request, found, form, row)


@require_POST
def remove(request: HttpRequest, team: UUID, price: UUID) -> HttpResponse:
    found, _ = get_team(request, team, manage=True)
    row = _find(found, price)
    table.remove(price=row, by=cast(User, request.user))
    messages.success(request, f"The price of {row.name} is removed; the installation's table holds again.")
    return redirect("prices", team)


def _find(team: Team, code: UUID) -> Price:
    row = table.find(team, code)
    if row is None:
        raise Http404("no such price")
    return row


def _form(request: HttpRequest, team: Team, form: PriceForm, price: Price | None = None) -> HttpResponse:
    context = {"team": team, "form": form, "price": price, "is_gpu": form.kind == PriceKind.GPU}
    return render(request, "prices/form.html", context, status=422 if form.errors else 200)
