"""Alerts hold once, on the result, the time an experiment takes, or its standing still."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from jobs import signals
from jobs.models import Experiment, Shard, Status
from webapp.accounts.models import Team, User
from webapp.notifications import alerts, forms
from webapp.notifications.models import Alert, Condition, Delivery, Event, Mail, Webhook

Make = Callable[..., Experiment]


def rule(experiment: Experiment, by: User, condition: str, number: float) -> Alert:
    return Alert.objects.create(experiment=experiment, created_by=by, condition=condition, number=number)


@pytest.mark.parametrize(
    ("condition", "number", "value", "holds"),
    [
        (Condition.AT_LEAST, 0.5, 0.5, True),
        (Condition.AT_LEAST, 0.5, 0.49, False),
        (Condition.AT_LEAST, 0, None, False),
        (Condition.AT_MOST, 0.5, 0.5, True),
        (Condition.AT_MOST, 0.5, 0.51, False),
    ],
)
def test_a_result_is_reached(
    condition: str, number: float, value: float | None, holds: bool, make_experiment: Make, team: Team, bob: User
) -> None:
    Webhook.objects.create(team=team, url="https://lab.example.org/", events=[Event.ALERT])
    Webhook.objects.create(team=team, url="https://lab.example.org/", events=[Event.FAILED])
    experiment = make_experiment(status=Status.RUNNING, summary={"label": "Coverage at 4", "value": value})
    made = rule(experiment, bob, condition, number)
    for _ in range(2):  # told once
        assert not alerts.watch()
    made.refresh_from_db()
    assert bool(made.fired_at) == holds
    assert (Delivery.objects.count(), Mail.objects.count()) == ((1, 1) if holds else (0, 0))
    if holds:
        told = json.loads(Delivery.objects.get().body)
        assert told["event"] == "alert" and told["experiment"]["id"] == str(experiment.code)
        assert told["alert"] == {
            "id": str(made.code), "condition": condition, "number": number, "said": "Coverage at 4 is 0.5"
        }  # fmt: skip
        letter = Mail.objects.get()
        assert letter.user == bob and letter.subject == "Arithmetic alert: Coverage at 4 is 0.5"


def test_the_last_result_counts_too(make_experiment: Make, bob: User) -> None:
    experiment = make_experiment(status=Status.FINISHED, summary={"label": "Coverage at 4", "value": 0.9})
    rule(experiment, bob, Condition.LONGER, 1)
    result = rule(experiment, bob, Condition.AT_LEAST, 0.8)
    alerts.watch()  # only open ones
    assert not Alert.objects.exclude(fired_at=None).exists()
    signals.tell_ended(experiment.pk)
    assert list(Alert.objects.exclude(fired_at=None)) == [result]


def test_it_runs_too_long(make_experiment: Make, bob: User) -> None:
    began = timezone.now() - timedelta(hours=2)
    experiment = make_experiment(status=Status.RUNNING, started_at=began)
    short, long = rule(experiment, bob, Condition.LONGER, 1.5), rule(experiment, bob, Condition.LONGER, 2.5)
    alerts.watch()
    short.refresh_from_db()
    long.refresh_from_db()
    assert short.said == "it runs for more than 1.5 h" and long.fired_at is None


def test_it_stands_still(make_experiment: Make, bob: User, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = make_experiment(status=Status.RUNNING)
    shard = Shard.objects.create(experiment=experiment, stage="draw", stage_index=0, index=0, queue="gpu", total=9)
    made, start = rule(experiment, bob, Condition.STUCK, 5), timezone.now()

    def look_at(minute: float, **change: Any) -> bool:
        Shard.objects.filter(pk=shard.pk).update(**{"done": shard.done, **change})
        monkeypatch.setattr(timezone, "now", lambda: start + timedelta(minutes=minute))
        alerts.watch()
        made.refresh_from_db()
        return made.fired_at is not None

    assert not look_at(0)
    assert not look_at(4, done=1) and not look_at(8, done=1)  # it moved in between
    Experiment.objects.update(status=Status.QUEUED)
    assert not look_at(20, done=1)  # it waits for a worker
    Experiment.objects.update(status=Status.RUNNING)
    assert not look_at(21, done=1) and not look_at(25, done=1)
    assert look_at(26, done=1) and made.said == "no progress for 5 min; units done: 1"


def test_alerts_are_made_and_removed_on_a_page(
    make_experiment: Make, bob: User, charlie: User, as_user: Callable[[User], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "MOST_ALERTS", 1)
    experiment, member = make_experiment(status=Status.RUNNING), as_user(bob)
    address = reverse("alert-add", args=[experiment.code])
    for wrong in ({"condition": "stuck", "number": "0"}, {"condition": "at_least", "number": "nan"}, {"number": "1"}):
        assert member.post(address, wrong).status_code == 422
    assert member.post(address, {"condition": "at_least", "number": "0.74"}).status_code == 302
    made = Alert.objects.get()
    assert (made.number, made.created_by) == (0.74, bob)
    page = member.post(address, {"condition": "at_least", "number": "0.8"})
    assert page.status_code == 422 and "at most 1 alerts" in page.content.decode()
    assert "The result is at least 0.74" in page.content.decode()
    other = make_experiment(team=charlie.teams.get(), owner=charlie)
    stolen = reverse("alert-remove", args=[other.code, made.code])
    assert as_user(charlie).post(stolen).status_code == 404
    assert member.post(reverse("alert-remove", args=[experiment.code, made.code])).status_code == 302
    assert not Alert.objects.exists()
    Experiment.objects.update(status=Status.FINISHED)
    page = member.post(address, {"condition": "at_least", "number": "0.8"})
    assert page.status_code == 422 and "has ended" in page.content.decode()
