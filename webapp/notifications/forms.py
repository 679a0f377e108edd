from __future__ import annotations

from typing import Any

from django import forms

from webapp.accounts.models import Team, User
from webapp.notifications.models import Event, MailSetting, MailWhen, Webhook
from webapp.notifications.sending import Refused, check_url

MOST_WEBHOOKS = 20  # of a team


class WebhookForm(forms.Form):
    url = forms.CharField(
        label="Address",
        max_length=500,
        widget=forms.TextInput(attrs={"inputmode": "url", "autocomplete": "off", "placeholder": "https://"}),
        help_text="Every event is posted here as JSON. With http:// anybody on the way can read it.",
    )
    events = forms.MultipleChoiceField(
        label="Events", choices=Event.choices, error_messages={"required": "Choose at least one event."}
    )

    def __init__(self, team: Team, data: Any = None) -> None:
        super().__init__(data, initial={"events": Event.values}, auto_id="webhook_%s")
        self.team = team

    @property
    def chosen(self) -> list[str]:
        """The events whose boxes are ticked."""
        return list(self["events"].value() or [])

    def clean_url(self) -> str:
        url = str(self.cleaned_data["url"])
        try:
            check_url(url)
        except Refused as error:
            raise forms.ValidationError(str(error)) from None
        if Webhook.objects.filter(team=self.team).count() >= MOST_WEBHOOKS:
            raise forms.ValidationError(f"A team has at most {MOST_WEBHOOKS} webhooks. Remove one that nobody needs.")
        return url

    def create(self, by: User) -> Webhook:
        return Webhook.objects.create(team=self.team, created_by=by, **self.cleaned_data)


class MailForm(forms.Form):
    when = forms.ChoiceField(label="Send me an e-mail", choices=MailWhen.choices)

    def __init__(self, user: User, data: Any = None) -> None:
        setting = MailSetting.objects.filter(user=user).first()
        super().__init__(data, initial={"when": setting.when if setting else MailWhen.OFF}, auto_id="mail_%s")
        self.user = user

    def save(self) -> MailSetting:
        setting, _ = MailSetting.objects.update_or_create(user=self.user, defaults=self.cleaned_data)
        return setting
