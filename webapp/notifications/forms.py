from __future__ import annotations

from typing import Any

from django import forms

from jobs.models import Experiment
from webapp.accounts.models import Team, User
from webapp.notifications.models import Alert, Condition, Event, MailSetting, MailWhen, Webhook
from webapp.notifications.sending import Refused, check_url

MOST_WEBHOOKS = 20  # of a team
MOST_ALERTS = 20  # of an experiment


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


class AlertForm(forms.Form):
    condition = forms.ChoiceField(label="Tell me when", choices=Condition.choices)
    number = forms.FloatField(
        min_value=-1e9,
        max_value=1e9,
        widget=forms.NumberInput(attrs={"step": "any", "inputmode": "decimal"}),
        help_text="A coverage of 74% is 0.74.",
    )

    def __init__(self, experiment: Experiment, data: Any = None) -> None:
        super().__init__(data, auto_id="alert_%s")
        self.experiment = experiment

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        is_time = values.get("condition") in {Condition.LONGER, Condition.STUCK}
        if is_time and "number" in values and values["number"] <= 0:
            self.add_error("number", "Write a time above zero.")
        if self.experiment.has_ended:
            self.add_error(None, "The experiment has ended. Retry it or draw more first.")
        if self.experiment.alerts.count() >= MOST_ALERTS:
            self.add_error(None, f"An experiment has at most {MOST_ALERTS} alerts. Remove one that nobody needs.")
        return values

    def create(self, by: User) -> Alert:
        return Alert.objects.create(experiment=self.experiment, created_by=by, **self.cleaned_data)
