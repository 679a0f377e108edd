"""Forms for people and teams."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm, SetPasswordForm, UsernameField
from django.contrib.auth.password_validation import password_validators_help_texts, validate_password
from django.core.exceptions import ValidationError

from webapp.accounts.models import Role, Team, User

# What the settings' validators ask for, as one line instead of Django's list.
PASSWORD_HELP = " ".join(password_validators_help_texts())


def clean_email(email: str) -> str:
    return User.objects.normalize_email(email).strip().lower()


class SignUpForm(forms.ModelForm[User]):
    password = forms.CharField(
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=PASSWORD_HELP,
    )

    class Meta:
        model = User
        fields = ["name", "email"]
        widgets = {
            "name": forms.TextInput(attrs={"autocomplete": "name", "autofocus": True}),
            "email": forms.EmailInput(attrs={"autocomplete": "username"}),
        }
        error_messages = {"email": {"unique": "Somebody signed up with this address before. Sign in instead."}}

    def clean_email(self) -> str:
        return clean_email(self.cleaned_data["email"])

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        password = values.get("password")
        if password:
            draft = User(name=values.get("name", ""), email=values.get("email", ""))
            try:
                validate_password(password, draft)
            except ValidationError as error:
                self.add_error("password", error)
        return values

    def create(self) -> User:
        """The new person; call after ``is_valid``."""
        values = self.cleaned_data
        return User.objects.create_user(values["email"], values["name"], values["password"])


class SignInForm(AuthenticationForm):
    username = UsernameField(
        label="E-mail", widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True})
    )
    error_messages = {
        "invalid_login": "This e-mail and password do not belong together. Check both; capitals matter in a password.",
        "inactive": "This account is switched off. Ask the person who runs this Canopy.",
    }

    def clean_username(self) -> str:
        return clean_email(self.cleaned_data["username"])


def _in_plain_words(form: SetPasswordForm[User]) -> None:
    form.fields["new_password1"].help_text = PASSWORD_HELP
    form.fields["new_password2"].help_text = ""
    form.fields["new_password2"].label = "New password again"


class ChangePasswordForm(PasswordChangeForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _in_plain_words(self)
        # One panel among others: the page must not jump to it.
        self.fields["old_password"].widget.attrs.pop("autofocus", None)


class NewPasswordForm(SetPasswordForm):  # type: ignore[type-arg]  # generic in the stubs only
    """After a reset by mail."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _in_plain_words(self)


class AccountForm(forms.ModelForm[User]):
    class Meta:
        model = User
        fields = ["name"]
        widgets = {"name": forms.TextInput(attrs={"autocomplete": "name"})}
        help_texts = {"name": "Shown beside your experiments."}


class TeamForm(forms.ModelForm[Team]):
    class Meta:
        model = Team
        fields = ["name"]


class RoleForm(forms.Form):
    """Which role somebody gets; for invitations and for members."""

    role = forms.ChoiceField(choices=Role.choices, initial=Role.MEMBER)
