"""A board behind a share link: what it shows, that it follows, and what it never tells."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from jobs.models import Experiment, Status
from tests.webapp.boards.test_content import board as content
from tests.webapp.boards.test_content import chart, text
from tests.webapp.test_compare import set_counts
from webapp.accounts.models import Team, User
from webapp.boards import services
from webapp.boards.models import Board
from webapp.boards.services import Author
from webapp.sharing.services import Options, make_link

Make = Callable[..., Experiment]
SECRET = "Quillfeather"


@pytest.fixture
def experiment(make_experiment: Make) -> Experiment:
    made = make_experiment(name=f"{SECRET} finches", status=Status.RUNNING, spec={"samples": 4}, last_seq=1)
    made.reason = "could not open /home/quillfeather/model"
    made.save()
    set_counts(made, [(4, 1), (4, 0), (4, 4)])
    return made


@pytest.fixture
def board(team: Team, alice: User, experiment: Experiment) -> Board:
    code = str(experiment.code)
    compared = {"type": "comparison", "id": "both", "query": f"e={code}", "name": "coverage", "y": 20}
    tiles = [text("intro"), chart("cov", experiment=code), compared]
    return services.create(team, content(*tiles, title="Autumn"), Author.of(alice))


def link(board: Board, alice: User, **options: bool) -> str:
    return make_link(board.team, Options("board", {"board": str(board.code)}, **options), by=alice)[1]


def solved(token: str, experiment: Experiment) -> int:
    cache.clear()
    state = Client().get(reverse("shared-board", args=[token])).json()["states"][str(experiment.code)]
    return int(state["kind"]["kpis"]["solved"])


def test_a_live_link_follows_and_a_frozen_one_does_not(board: Board, alice: User, experiment: Experiment) -> None:
    live, frozen = link(board, alice), link(board, alice, freeze=True)
    page = Client().get(reverse("shared", args=[live])).content.decode()
    assert "Coverage against samples" in page
    assert "about intro" in page
    assert "data-follows" in page
    assert "data-save=" not in page
    set_counts(experiment, [(4, 4)] * 3)
    assert solved(live, experiment) == 3
    assert solved(frozen, experiment) == 2
    assert "data-follows" not in Client().get(reverse("shared", args=[frozen])).content.decode()
    board.delete()
    assert Client().get(reverse("shared", args=[live])).status_code == 410
    assert solved(frozen, experiment) == 2


def test_nothing_leads_to_the_teams_pages(board: Board, alice: User, experiment: Experiment) -> None:
    token = link(board, alice)
    for url in (reverse("shared", args=[token]), reverse("shared-board", args=[token])):
        body = Client().get(url).content.decode()
        for address in (f"/experiments/{experiment.code}", f"/teams/{board.team.code}", f"/boards/{board.code}"):
            assert address not in body
        assert "/home/" not in body


def test_an_anonymous_link_names_nobody(board: Board, alice: User, experiment: Experiment) -> None:
    alice.name = f"Ada {SECRET}"
    alice.save()
    named, anonymous = link(board, alice), link(board, alice, anonymous=True)
    for name in ("shared", "shared-board"):
        cache.clear()
        assert SECRET in Client().get(reverse(name, args=[named])).content.decode()
        assert SECRET.lower() not in Client().get(reverse(name, args=[anonymous])).content.decode().lower()
