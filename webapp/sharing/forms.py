"""The form that makes a share link."""

from __future__ import annotations

from datetime import datetime, timedelta

from django import forms
from django.utils import timezone

from webapp.sharing.models import ShareLink

LIFETIMES = [("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("never", "until it is revoked")]


class ShareForm(forms.ModelForm[ShareLink]):
    expires = forms.ChoiceField(label="Works for", choices=LIFETIMES, initial="30")

    class Meta:
        model = ShareLink
        fields = ["label", "include_samples"]
        help_texts = {"label": "For your own list of links, such as who got it."}

    def expires_at(self) -> datetime | None:
        """When the link ends; None when it does not. Call after ``is_valid``."""
        days = self.cleaned_data["expires"]
        return None if days == "never" else timezone.now() + timedelta(days=int(days))
