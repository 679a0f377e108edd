"""What members do to an experiment from its page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from jobs.models import Experiment, Status
from webapp.accounts.models import User

SignIn = Callable[[User], Client]
MakeExperiment = Callable[..., Experiment]


def act(client: Client, action: str, experiment: Experiment, **data: str) -> tuple[str, str]:
    """Do it; return the level and text of the message that the next page shows."""
    response: Any = client.post(reverse(f"experiment-{action}", args=[experiment.code]), data)
    assert response.status_code == 302
    *_, message = get_messages(response.wsgi_request)  # earlier ones wait for a page to show them
    return message.level_tag, str(message)


@pytest.fixture
def submitted(as_user: SignIn, bob: User) -> Experiment:
    """An experiment with its shards, queued."""
    client = as_user(bob)
    team = bob.teams.get()
    form = {"problems": "bundled/arithmetic-60", "limit": "2", "samples": "4"}
    client.post(reverse("experiment-new", args=[team.code, "sampling"]), form)
    return Experiment.objects.get()


def test_cancel_then_retry(as_user: SignIn, bob: User, submitted: Experiment) -> None:
    client = as_user(bob)
    assert act(client, "cancel", submitted)[0] == "success"
    submitted.refresh_from_db()
    assert submitted.status == Status.CANCELLED
    assert act(client, "cancel", submitted) == ("error", "The experiment has already ended.")
    assert act(client, "retry", submitted)[0] == "success"
    submitted.refresh_from_db()
    assert submitted.status == Status.QUEUED


def test_draw_more_raises_the_number_of_samples(as_user: SignIn, bob: User, submitted: Experiment) -> None:
    assert act(as_user(bob), "more", submitted, samples="16")[0] == "success"
    submitted.refresh_from_db()
    assert submitted.spec["samples"] == 16


@pytest.mark.parametrize("samples", ["", "0", "-5", "many", "4", "99999999999", "1e3", "٣"])
def test_draw_more_refuses_nonsense_in_words(as_user: SignIn, bob: User, submitted: Experiment, samples: str) -> None:
    level, text = act(as_user(bob), "more", submitted, samples=samples)
    assert level == "error" and text.endswith(".")


def test_regrade_needs_a_verifier_there_is(as_user: SignIn, bob: User, make_experiment: MakeExperiment) -> None:
    level, _ = act(as_user(bob), "regrade", make_experiment(status=Status.FINISHED), verifier="oracle")
    assert level == "error"


def test_score_asks_for_a_model_there_is(as_user: SignIn, bob: User, make_experiment: MakeExperiment) -> None:
    experiment = make_experiment(status=Status.FINISHED)
    client = as_user(bob)
    for wrong in ({"scorer": "nowhere"}, {"scorer": "a/b", "label": "first"}, {"scorer": ""}, {"scorer": "x" * 400}):
        level, text = act(client, "score", experiment, **wrong)
        assert level == "error" and text.endswith(".")
    assert act(client, "score", experiment, scorer="org/judge", label="0")[0] == "success"
    experiment.refresh_from_db()
    assert (experiment.spec["scorer"], experiment.spec["scorer_label"]) == ("org/judge", 0)
    assert experiment.shards.filter(stage="score").exists()


def test_rename(as_user: SignIn, bob: User, submitted: Experiment) -> None:
    client = as_user(bob)
    assert act(client, "rename", submitted, name="  Better name ")[0] == "success"
    for wrong in ("", "   ", "x" * 121):
        assert act(client, "rename", submitted, name=wrong)[0] == "error"
    submitted.refresh_from_db()
    assert submitted.name == "Better name"


def test_priority(as_user: SignIn, bob: User, submitted: Experiment) -> None:
    client = as_user(bob)
    assert act(client, "priority", submitted, priority="9") == ("success", "High priority from now on.")
    for wrong in ("7", "high", ""):
        assert act(client, "priority", submitted, priority=wrong)[0] == "error"
    submitted.refresh_from_db()
    assert submitted.priority == 9


def test_delete_needs_a_confirmation_and_an_ended_experiment(as_user: SignIn, bob: User, submitted: Experiment) -> None:
    client = as_user(bob)
    assert act(client, "delete", submitted)[0] == "error"
    assert act(client, "delete", submitted, confirm="delete")[0] == "error"  # it still runs
    act(client, "cancel", submitted)
    assert act(client, "delete", submitted, confirm="delete")[0] == "success"
    assert not Experiment.objects.exists()
