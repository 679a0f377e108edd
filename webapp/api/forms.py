"""The form that makes an API token."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms

from webapp.accounts.models import Membership, Role, Team, User
from webapp.api.models import ApiToken, Scope, make_token

LIFETIMES = [("30", "30 days"), ("90", "90 days"), ("365", "a year"), ("never", "until it is revoked")]
MYSELF = "me"


class TokenForm(forms.Form):
    name = forms.CharField(label="Name", max_length=80, help_text="Where it is used, such as laptop or nightly runs.")
    acts_for = forms.ChoiceField(label="Acts for", help_text="A service account stays when people leave the team.")
    scope = forms.ChoiceField(label="May", choices=Scope.choices, initial=Scope.READ)
    expires = forms.ChoiceField(label="Works for", choices=LIFETIMES, initial="90")

    def __init__(self, user: User, data: Any = None) -> None:
        super().__init__(data, auto_id="token_%s")
        self._user = user
        memberships = Membership.objects.filter(user=user).select_related("team").order_by("joined_at")
        self._teams: dict[str, Team] = {}
        choices = [(MYSELF, "me, in all my teams")]
        for one in memberships:
            code = str(one.team.code)
            self._teams[code] = one.team
            choices.append((f"{MYSELF}:{code}", f"me, in {one.team.name} only"))
            if one.role == Role.OWNER:
                choices.append((f"team:{code}", f"{one.team.name}, as a service account"))
        field = self.fields["acts_for"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices
        field.initial = MYSELF

    def create(self) -> tuple[ApiToken, str]:
        """The token and its text. Call after ``is_valid``: the choices are what this person may make."""
        values = self.cleaned_data
        who, _, code = values["acts_for"].partition(":")
        return make_token(
            name=values["name"],
            scope=values["scope"],
            created_by=self._user,
            user=self._user if who == MYSELF else None,
            team=self._teams[str(UUID(code))] if code else None,
            days=None if values["expires"] == "never" else int(values["expires"]),
        )
