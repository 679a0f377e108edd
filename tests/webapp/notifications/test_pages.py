"""Owners add, test and remove webhooks; the secret is shown once; everybody sets their own mail."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from jobs import chores
from webapp.accounts.models import Team, User
from webapp.activity.models import Entry
from webapp.checks import check_webhooks
from webapp.notifications import forms
from webapp.notifications.models import TEST, Attempt, Delivery, Event, MailSetting, Webhook

SignIn = Callable[[User], Client]
URL = "https://hooks.example.org/services/T0/secret-path"


def added(team: Team) -> Webhook:
    return Webhook.objects.create(team=team, url=URL, events=[Event.FAILED])


def test_the_secret_is_shown_once(team: Team, alice: User, as_user: SignIn) -> None:
    owner = as_user(alice)
    answer = owner.post(reverse("webhook-add", args=[team.code]), {"url": URL, "events": [Event.FAILED]})
    made = Webhook.objects.get()
    assert answer.status_code == 200 and answer["Cache-Control"] == "no-store"
    assert made.secret in answer.content.decode()
    assert (made.url, made.events, made.created_by) == (URL, ["experiment.failed"], alice)
    for page in (reverse("webhooks", args=[team.code]), reverse("webhook", args=[team.code, made.code])):
        assert made.secret not in owner.get(page).content.decode()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"url": "https://192.168.0.1/", "events": [Event.FAILED]}, "private"),
        ({"url": "javascript:alert(1)", "events": [Event.FAILED]}, "starts with https"),
        ({"url": URL}, "at least one event"),
        ({"url": URL, "events": ["moon.rises"]}, "moon.rises is not one"),
    ],
)
def test_what_the_form_refuses(data: dict[str, Any], why: str, team: Team, alice: User, as_user: SignIn) -> None:
    answer = as_user(alice).post(reverse("webhook-add", args=[team.code]), data)
    assert answer.status_code == 422 and why in answer.content.decode() and not Webhook.objects.exists()


def test_a_team_has_a_limited_number(team: Team, alice: User, as_user: SignIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "MOST_WEBHOOKS", 1)
    added(team)
    answer = as_user(alice).post(reverse("webhook-add", args=[team.code]), {"url": URL, "events": [Event.FAILED]})
    assert answer.status_code == 422 and "at most 1" in answer.content.decode()


def test_a_test_is_queued_and_the_log_shows_text_as_text(team: Team, alice: User, as_user: SignIn) -> None:
    made, owner = added(team), as_user(alice)
    owner.post(reverse("webhook-test", args=[team.code, made.code]))
    sent = Delivery.objects.get()
    assert sent.event == TEST
    Attempt.objects.create(delivery=sent, status=500, text="<script>alert(1)</script>", seconds=0.2)
    page = owner.get(reverse("webhook", args=[team.code, made.code])).content.decode()
    assert "&lt;script&gt;alert(1)" in page and "<script>alert" not in page and str(sent.code) in page
    entry = Entry.objects.latest("pk")
    assert (entry.action, entry.target) == ("webhook-test", "hooks.example.org")  # the path may be a secret
    for _ in range(9):
        owner.post(reverse("webhook-test", args=[team.code, made.code]))
    answer = owner.post(reverse("webhook-test", args=[team.code, made.code]))
    assert answer.status_code == 429 and Delivery.objects.count() == 10


def test_another_teams_webhook_is_not_there(team: Team, charlie: User, as_user: SignIn) -> None:
    made, other = added(team), charlie.teams.get()
    for name in ("webhook-test", "webhook-remove"):
        assert as_user(charlie).post(reverse(name, args=[other.code, made.code])).status_code == 404
    assert as_user(charlie).get(reverse("webhook", args=[other.code, made.code])).status_code == 404
    assert Webhook.objects.exists()


def test_removing_takes_what_waits_along(team: Team, alice: User, as_user: SignIn) -> None:
    made, owner = added(team), as_user(alice)
    owner.post(reverse("webhook-test", args=[team.code, made.code]))
    owner.post(reverse("webhook-remove", args=[team.code, made.code]))
    assert not Webhook.objects.exists() and not Delivery.objects.exists()


def test_mail_is_a_personal_choice(vera: User, as_user: SignIn) -> None:
    client = as_user(vera)
    client.post(reverse("mail-setting"), {"when": "failures"})
    assert MailSetting.objects.get().user == vera
    assert '<option value="failures" selected>' in client.get(reverse("account")).content.decode()
    client.post(reverse("mail-setting"), {"when": "at noon"})
    client.post(reverse("mail-setting"), {"when": "off"})
    assert MailSetting.objects.get().when == "off"


def test_private_addresses_for_strangers_are_warned_of(settings: Any) -> None:
    settings.WEBHOOK_PRIVATE, settings.OPEN_SIGN_UP, settings.ALLOWED_HOSTS = True, True, ["canopy.example.org"]
    assert [found.id for found in check_webhooks(None)] == ["canopy.W009"]
    settings.OPEN_SIGN_UP = False
    assert check_webhooks(None) == []


def test_a_chore_goes_on_after_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chores, "_chores", {})
    monkeypatch.setattr("jobs.chores.connection.close", lambda: None)
    stopping, calls = threading.Event(), []

    def work() -> bool:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("broken")
        if len(calls) == 3:
            stopping.set()
        return True

    chores.register("test", work, seconds=0.01)
    chores._chores["test"].run(stopping)
    assert len(calls) == 3
    chores.start(stopping)  # everything ends at once
    assert len(calls) == 3
