"""Sign up, in and out; the account page."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, update_session_auth_hash
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import Resolver404, resolve
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods

from webapp import rate_limits
from webapp.accounts.forms import AccountForm, ChangePasswordForm, SignInForm, SignUpForm, clean_email
from webapp.accounts.memberships import create_team
from webapp.accounts.models import Invitation, User


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def sign_up(request: HttpRequest) -> HttpResponse:
    """A new person, with a first team unless an invitation brought them here."""
    if request.user.is_authenticated:
        return redirect("home")
    next_url = _safe_next(request)
    invitation = _invitation_behind(next_url)
    if not settings.OPEN_SIGN_UP and invitation is None:
        return render(request, "accounts/sign_up_closed.html", status=403)
    form = SignUpForm(request.POST or None)
    status = 200
    if request.method == "POST":
        try:
            rate_limits.enforce("sign-up", rate_limits.address(request), limit=20, seconds=3600)
            if form.is_valid():
                return _signed_up(request, form, next_url, invitation)
        except rate_limits.TooManyAttempts as error:
            form.add_error(None, str(error))
            status = 429
    context = {"form": form, "next": next_url, "invitation": invitation}
    return render(request, "accounts/sign_up.html", context, status=status)


def _signed_up(
    request: HttpRequest, form: SignUpForm, next_url: str, invitation: Invitation | None
) -> HttpResponseRedirect:
    with transaction.atomic():
        user = form.create()
        if invitation is None:
            create_team(f"{user.name}'s team"[:80], user)
    login(request, user)
    return redirect(next_url or "home")


def _safe_next(request: HttpRequest) -> str:
    """Where to go afterwards, if it is on this site."""
    url = request.POST.get("next") or request.GET.get("next", "")
    safe = url_has_allowed_host_and_scheme(url, {request.get_host()}, require_https=request.is_secure())
    return url if safe else ""


def _invitation_behind(url: str) -> Invitation | None:
    """The usable invitation that ``url`` leads to: it lets a stranger sign up where sign-up is closed."""
    try:
        match = resolve(urlsplit(url).path or "/")
    except Resolver404:
        return None
    return Invitation.objects.find(match.kwargs["token"]) if match.url_name == "invitation" else None


class SignIn(auth_views.LoginView):
    template_name = "accounts/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Guesses are limited per address and person, and more loosely per address."""
        address = rate_limits.address(request)
        person = f"{address}:{clean_email(request.POST.get('username', ''))[:254]}"
        try:
            rate_limits.enforce("sign-in", person, limit=10, seconds=600)
            rate_limits.enforce("sign-in-address", address, limit=100, seconds=600)
        except rate_limits.TooManyAttempts as error:
            # An unbound form: no password is checked any more.
            context = self.get_context_data(form=SignInForm(request), refused=str(error))
            return self.render_to_response(context, status=429)
        response = super().post(request, *args, **kwargs)
        if request.user.is_authenticated:
            rate_limits.forgive("sign-in", person)
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(open_sign_up=settings.OPEN_SIGN_UP, **kwargs)


class PasswordReset(auth_views.PasswordResetView):
    template_name = "accounts/password_reset.html"
    email_template_name = "accounts/password_reset_email.txt"
    subject_template_name = "accounts/password_reset_subject.txt"

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Limited, so that nobody can fill a person's mailbox."""
        try:
            rate_limits.enforce("reset", rate_limits.address(request), limit=10, seconds=3600)
        except rate_limits.TooManyAttempts as error:
            return self.render_to_response(self.get_context_data(refused=str(error)), status=429)
        return super().post(request, *args, **kwargs)


@require_http_methods(["GET", "HEAD", "POST"])
def account(request: HttpRequest) -> HttpResponse:
    """Name, theme and password; one form per panel, told apart by the button that was pressed."""
    user = cast(User, request.user)
    posted = request.POST.get("form")
    # Bound to a copy: a refused name must not show up in the frame of the page.
    form = AccountForm(request.POST if posted == "name" else None, instance=User.objects.get(pk=user.pk))
    password = ChangePasswordForm(user, request.POST if posted == "password" else None)
    if posted == "name" and form.is_valid():
        form.save()
        messages.success(request, "Your name is saved.")
        return redirect("account")
    if posted == "password" and password.is_valid():
        password.save()
        update_session_auth_hash(request, user)  # otherwise this browser would be signed out
        messages.success(request, "Your password is changed. Other browsers are signed out.")
        return redirect("account")
    return render(request, "accounts/account.html", {"form": form, "password_form": password})
