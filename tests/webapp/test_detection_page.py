"""The experiment page of detection: every tab in every state, what strangers see, and how many queries a page takes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from jobs.models import Experiment, Status
from tests.webapp.detection import make_detection
from tests.webapp.test_html import Page, check_labels, check_policy
from webapp.accounts.models import Team, User

SignIn = Callable[[User], Client]
TABS = ["", "predictions", "curves", "images", "try", "log", "config", "files"]


def address(experiment: Experiment, tab: str = "") -> str:
    name, code = ("experiment-tab", experiment.code) if tab else ("experiment", experiment.code)
    return reverse(name, args=[code, tab] if tab else [code])


@pytest.mark.parametrize("status", Status.values)
@pytest.mark.parametrize("tab", TABS)
def test_every_tab_in_every_state(tab: str, status: str, team: Team, bob: User, as_user: SignIn) -> None:
    ended = status == Status.FINISHED
    experiment = make_detection(team, status=status, scored=ended, epochs=0 if status == Status.QUEUED else 2)
    answer = as_user(bob).get(address(experiment, tab))
    assert answer.status_code == 200
    page = Page(answer.content.decode())
    assert page.unbalanced == [] and page.stack == []
    check_policy(page)
    check_labels(page, {attributes["id"] for _, attributes in page.elements if "id" in attributes})
    assert "Draw more" not in answer.content.decode() and "Grade again" not in answer.content.decode()
