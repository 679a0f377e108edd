"""The form that makes a share link, and the filters of the list."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django import forms
from django.db.models import Q
from django.http import QueryDict
from django.utils import timezone
from django.utils.http import urlencode

from webapp.accounts.models import Team
from webapp.sharing.models import ShareLink, ShareLinkQuerySet, State
from webapp.sharing.services import Options
from webapp.sharing.targets import all_targets

LIFETIMES = [("1", "1 day"), ("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("never", "until it is revoked")]
LONGEST_SCOPE = 4_000  # characters of the JSON


class ShareForm(forms.Form):
    target = forms.CharField(max_length=20)
    scope = forms.CharField(max_length=LONGEST_SCOPE)
    label = forms.CharField(max_length=80, required=False)
    expires = forms.ChoiceField(choices=LIFETIMES)
    include_samples = forms.BooleanField(required=False)
    anonymous = forms.BooleanField(required=False)
    freeze = forms.BooleanField(required=False)
    embed_hosts = forms.CharField(max_length=600, required=False)

    def clean_scope(self) -> dict[str, Any]:
        try:
            scope = json.loads(self.cleaned_data["scope"])
        except (ValueError, RecursionError):
            scope = None
        if not isinstance(scope, dict):
            raise forms.ValidationError("The page that asked is out of date: load it again.")
        return scope

    def options(self) -> Options:
        """Call after ``is_valid``."""
        values = dict(self.cleaned_data)
        days = values.pop("expires")
        end = None if days == "never" else timezone.now() + timedelta(days=int(days))
        hosts = values.pop("embed_hosts").replace(",", " ").split()
        return Options(**values, expires_at=end, embed_hosts=hosts)


@dataclass(frozen=True, slots=True)
class LinkFilters:
    """Which links of a team the list shows; the address holds it. Nonsense in an address is left out."""

    state: str = ""  # empty: those that have not ended
    target: str = ""
    mine: bool = False
    q: str = ""
    page: int = 1

    @classmethod
    def read(cls, query: QueryDict) -> LinkFilters:
        state, target, page = query.get("state", ""), query.get("target", ""), query.get("page", "")
        return cls(
            state=state if state in {*State.values, "all"} else "",
            target=target if target in {each.name for each in all_targets()} else "",
            mine=query.get("mine") == "1",
            q=query.get("q", "").replace("\0", "").strip()[:80],
            page=int(page) if page.isascii() and page.isdigit() and 0 < len(page) < 6 else 1,
        )

    def url(self, page: int) -> str:
        parts = {"state": self.state, "target": self.target, "mine": "1" if self.mine else "", "q": self.q}
        return "?" + urlencode({name: value for name, value in parts.items() if value} | {"page": page})

    @property
    def narrows(self) -> bool:
        return bool(self.state or self.target or self.mine or self.q)


def select(team: Team, filters: LinkFilters, user_id: int | None) -> ShareLinkQuerySet:
    """The team's links that the filters ask for, newest first."""
    found = ShareLink.objects.filter(team=team)
    if not filters.state:
        found = found.not_ended()
    elif filters.state != "all":
        found = found.in_state(filters.state)
    if filters.target:
        found = found.filter(target=filters.target)
    if filters.mine:
        found = found.filter(created_by=user_id)
    if filters.q:
        named = Q(label__icontains=filters.q) | Q(experiment__name__icontains=filters.q)
        found = found.filter(named | Q(created_by__name__icontains=filters.q) | Q(token_prefix=filters.q))
    related = ("team", "experiment__team", "created_by", "created_with", "snapshot")
    return found.select_related(*related).defer("snapshot__content").order_by("-created_at", "-pk")
