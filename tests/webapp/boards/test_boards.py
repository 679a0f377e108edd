"""Saving, refusing, restoring, pinning and freezing boards; what their pages show."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from jobs.models import Experiment, Status
from tests.webapp.boards.test_content import board as content
from tests.webapp.boards.test_content import chart, text
from tests.webapp.detection import make_detection
from tests.webapp.scenes import make_scenes
from tests.webapp.test_compare import set_counts
from webapp.accounts.models import Team, User
from webapp.boards import freezing, services
from webapp.boards.models import Board, BoardVersion
from webapp.boards.services import Author
from webapp.boards.show import shown_tiles
from webapp.experiments.kind_pages import kind_comparison, kind_page

Make = Callable[..., Experiment]
SignIn = Callable[[User], Client]


@pytest.fixture
def finished(make_experiment: Make) -> Experiment:
    made = make_experiment(status=Status.FINISHED, spec={"samples": 4}, last_seq=1)
    set_counts(made, [(4, 1), (4, 0), (4, 4)])
    return made


@pytest.fixture
def author(alice: User) -> Author:
    return Author.of(alice)


@pytest.fixture
def board(team: Team, author: Author, finished: Experiment) -> Board:
    tiles = [text("intro"), chart("cov", experiment=str(finished.code), y=4)]
    return services.create(team, content(*tiles), author)


def save(client: Client, board: Board, base: int, *tiles: dict[str, Any], title: str = "Autumn") -> Any:
    body = {"base": base, "content": {"title": title, "tiles": list(tiles)}}
    return client.post(reverse("board-save", args=[board.code]), json.dumps(body), content_type="application/json")


def test_every_save_is_a_version(board: Board, bob: User, as_user: SignIn) -> None:
    client = as_user(bob)
    answer = save(client, board, 1, text("intro", text="other"), *board.content["tiles"][1:])
    assert answer.status_code == 200
    assert answer.json()["version"] == 2
    assert [(v.number, v.changes, v.saved_by_name) for v in board.versions.order_by("number")] == [
        (1, "made the board", "Alice"),
        (2, "rewrote the text “about intro”", "Bob"),
    ]
    # Saving what is there already makes none.
    assert save(client, board, 2, *answer.json()["content"]["tiles"]).json()["version"] == 2
    page = client.get(reverse("board-versions", args=[board.code])).content.decode()
    assert "Rewrote the text “about intro”" in page


def test_a_save_over_somebody_elses_is_refused_and_nothing_is_lost(
    board: Board, alice: User, bob: User, as_user: SignIn
) -> None:
    assert save(as_user(bob), board, 1, text("bobs")).status_code == 200
    late = save(as_user(alice), board, 1, text("alices"))
    assert late.status_code == 409
    assert late.json()["by"] == "Bob"
    assert late.json()["error"].startswith("Bob saved version 2 in the meantime: added the text “about bobs”")
    board.refresh_from_db()
    assert [tile["id"] for tile in board.content["tiles"]] == ["bobs"]
    # Told so, she saves hers as the next version; his stays in the list.
    assert save(as_user(alice), board, late.json()["version"], text("alices")).json()["version"] == 3
    assert BoardVersion.objects.get(board=board, number=2).content["tiles"][0]["id"] == "bobs"


def test_restoring(board: Board, bob: User, as_user: SignIn) -> None:
    client = as_user(bob)
    first = board.content
    save(client, board, 1, text("other"))
    page = client.get(reverse("board-version", args=[board.code, 1])).content.decode()
    assert "Since then: added the text “about other”, removed the text “about intro”, removed coverage" in page
    url = reverse("board-restore", args=[board.code, 1])
    client.post(url, {"base": 1})  # stale
    board.refresh_from_db()
    assert board.version == 2
    client.post(url, {"base": 2})
    board.refresh_from_db()
    assert board.version == 3
    assert board.content == first
    assert board.versions.get(number=3).changes == "restored version 1"


def test_old_versions_go(board: Board, author: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "KEPT_VERSIONS", 3)
    for number in range(1, 6):
        services.save(board, content(text("a", text=str(number))), base=number, author=author)
    assert list(board.versions.order_by("number").values_list("number", flat=True)) == [4, 5, 6]


def test_only_the_teams_experiments_and_known_tiles(
    board: Board, finished: Experiment, charlie: User, bob: User, as_user: SignIn
) -> None:
    client = as_user(bob)
    strange = Experiment.objects.create(team=charlie.teams.get(), kind="sampling", name="theirs", spec={})
    comparison = {"type": "comparison", "id": "c", "query": f"e={finished.code}&e={strange.code}", "name": "coverage"}
    place = {"x": 0, "y": 0, "w": 6, "h": 6}
    for tile in (chart("a", experiment=str(strange.code)), chart("a", experiment=str(uuid4())), comparison | place):
        tile.pop("text", None)
        answer = save(client, board, 1, tile)
        assert answer.status_code == 422
        assert "not in this team" in answer.json()["error"]
    wrong = chart("a", experiment=str(finished.code), name="angles")
    wrong.pop("text")
    answer = save(client, board, 1, wrong)
    assert answer.status_code == 422
    assert "has no tile called angles. It has: kpis" in answer.json()["error"]
    board.refresh_from_db()
    assert board.version == 1


def test_a_deleted_experiment_leaves_its_place(board: Board, finished: Experiment, bob: User, as_user: SignIn) -> None:
    finished.delete()
    client = as_user(bob)
    assert "The experiment was deleted" in client.get(reverse("board", args=[board.code])).content.decode()
    # Other tiles may still be changed around it.
    assert save(client, board, 1, text("new", y=9), *board.content["tiles"]).status_code == 200


@pytest.mark.parametrize("body", ["", "{", "[]", '{"content": 3}', '{"content": {"title": "x", "tiles": []}}'])
def test_bad_bodies(body: str, board: Board, bob: User, as_user: SignIn) -> None:
    url = reverse("board-save", args=[board.code])
    answer = as_user(bob).post(url, body, content_type="application/json")
    assert answer.status_code == 422
    assert answer.json()["error"].endswith(".")


def test_the_page_escapes_what_people_write(team: Team, author: Author, bob: User, as_user: SignIn) -> None:
    evil = "<script>alert(1)</script>"
    made = services.create(team, content(text("a", text=evil, title=evil), title=evil), author)
    for url in (reverse("board", args=[made.code]), reverse("board", args=[made.code]) + "?report=1"):
        page = as_user(bob).get(url).content.decode()
        assert "<script>alert" not in page
        assert "style=" not in page


def every_tile(team: Team, alice: User, finished: Experiment) -> list[dict[str, Any]]:
    detected = make_detection(team, alice, spec={"rules": ["ellipse", "largest"], "seeds": 1})
    tiles = [
        {"type": "experiment", "id": f"{each.kind}-{tile.name}", "experiment": str(each.code), "name": tile.name}
        for each in (finished, detected)
        for tile in kind_page(each.kind).tiles
        if tile.fits(each)
    ]
    tiles += [
        {"type": "comparison", "id": f"c-{each.kind}-{tile.name}", "query": f"e={each.code}", "name": tile.name}
        for each in (finished, detected)
        for tile in kind_comparison(each.kind).tiles
    ]
    return tiles


def test_every_tile_of_every_kind_shows_live_and_frozen(
    team: Team, alice: User, author: Author, finished: Experiment, as_user: SignIn
) -> None:
    """A tile that a kind adds and that cannot be rendered, or cannot be kept as JSON, fails here."""
    tiles = every_tile(team, alice, finished)
    made = services.create(team, content(*tiles), author)
    page = as_user(alice).get(reverse("board", args=[made.code])).content.decode()
    assert page.count('class="panel') + page.count('class="kpis"') >= len(tiles)
    assert ' id="coverage"' not in page, "ids are for the experiment's own page: a board may show a panel twice"
    frozen = freezing.freeze(made, author)
    frozen.refresh_from_db()  # as the database kept it
    assert [each.tile.id for each in freezing.thawed(frozen.kept)] == [tile["id"] for tile in made.content["tiles"]]
    copy = as_user(alice).get(reverse("board-frozen", args=[frozen.code])).content.decode()
    assert f"/experiments/{finished.code}" not in copy, "a frozen copy leads to no number that changes"


def test_a_scene_stays_on_a_frozen_copy_and_off_a_link(
    team: Team, alice: User, author: Author, as_user: SignIn, settings: Any, tmp_path: Any
) -> None:
    settings.MEDIA_ROOT = tmp_path
    scenes = make_scenes(team, alice, drawn=2)
    names = [tile.name for tile in kind_page("scenes").tiles if tile.fits(scenes)]
    tiles = [{"type": "experiment", "id": name, "experiment": str(scenes.code), "name": name} for name in names]
    made = services.create(team, content(*tiles), author)
    manifest, pictures = f"/experiments/{scenes.code}/data/scene/", f"/experiments/{scenes.code}/pictures/"
    page = as_user(alice).get(reverse("board", args=[made.code])).content.decode()
    assert (
        page.index('type="importmap"') < page.index('type="module"') and manifest in page and f"{pictures}view/" in page
    )
    frozen = freezing.freeze(made, author)
    copy = as_user(alice).get(reverse("board-frozen", args=[frozen.code])).content.decode()
    assert manifest in copy and f"{pictures}view/" not in copy, "pictures of views are drawn anew at later steps"
    report = as_user(alice).get(reverse("board-frozen", args=[frozen.code]) + "?report=1").content.decode()
    assert report.index('type="importmap"') < report.index('type="module"')
    assert str(scenes.code) not in json.dumps(freezing.numbers_of(made, shared=True)["tiles"])
    plain = services.create(team, content(text("a")), author)
    assert "importmap" not in as_user(alice).get(reverse("board", args=[plain.code])).content.decode()


def test_a_frozen_copy_does_not_change(
    board: Board, author: Author, finished: Experiment, alice: User, as_user: SignIn
) -> None:
    frozen = freezing.freeze(board, author)
    url = reverse("board-frozen-numbers", args=[frozen.code])
    before = as_user(alice).get(url).json()
    state = before["states"][str(finished.code)]
    assert state["kind"]["kpis"]["solved"] == 2
    assert state["log"] == state["workers"] == []
    set_counts(finished, [(4, 4)] * 3)
    services.save(board, content(text("x")), base=1, author=author)
    assert as_user(alice).get(url).json() == before
    finished.delete()
    assert as_user(alice).get(url).json() == before
    page = as_user(alice).get(reverse("board-frozen", args=[frozen.code])).content.decode()
    assert "Coverage against samples" in page


def test_what_is_too_large_is_not_frozen(board: Board, author: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freezing, "MOST_BYTES", 100)
    with pytest.raises(services.Refused, match="freeze it in two parts"):
        freezing.freeze(board, author)
    monkeypatch.setattr(freezing, "MOST_FROZEN", 0)
    with pytest.raises(services.Refused, match="at most 0 frozen copies"):
        freezing.freeze(board, author)


def test_queries_do_not_grow_with_results_or_experiments(team: Team, author: Author, make_experiment: Make) -> None:
    def count(tiles: list[dict[str, Any]]) -> int:
        made = content(*tiles)
        services.check(team, made)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            shown_tiles(team, made, can_write=True)
        return len(queries)

    few = [make_experiment(problems=2)]
    many = [make_experiment(problems=9, n=3, c=1) for _ in range(6)]
    names = ["coverage", "kpis", "problems", "verdicts", "engine", "forecast"]
    one = [chart(name, experiment=str(few[0].code), name=name) for name in names]
    six = [chart(name, experiment=str(each.code), name=name) for name, each in zip(names, many, strict=True)]
    assert count(one) == count(six) == 1


def test_pinning(board: Board, finished: Experiment, bob: User, as_user: SignIn, team: Team) -> None:
    client = as_user(bob)
    found = client.get(reverse("board-pin-choices", args=[team.code]), {"experiment": str(finished.code)}).json()
    assert found["boards"] == [{"code": str(board.code), "title": "Autumn"}]
    assert {"name": "coverage", "title": "Coverage against samples", "w": 6, "h": 11} in found["tiles"]
    compared = client.get(reverse("board-pin-choices", args=[team.code]), {"e": str(finished.code)}).json()
    assert [tile["name"] for tile in compared["tiles"]] == ["coverage", "side-by-side"]

    tiles = [
        {
            "type": "experiment",
            "experiment": str(finished.code),
            "name": "coverage",
            "view": "x=linear",
            "w": 6,
            "h": 11,
        },
        {"type": "comparison", "query": f"?e={finished.code}", "name": "side-by-side", "w": 12, "h": 9},
    ]
    url = reverse("board-pin", args=[team.code])

    def pin(**body: Any) -> Any:
        return client.post(url, json.dumps(body), content_type="application/json")

    assert pin(board=str(board.code), tiles=tiles).json()["version"] == 2
    board.refresh_from_db()
    assert [(tile["id"], tile["x"], tile["y"]) for tile in board.content["tiles"]] == [
        ("intro", 0, 0), ("cov", 0, 4), ("coverage", 0, 8), ("side-by-side", 0, 19)
    ]  # fmt: skip
    assert board.versions.get(number=2).changes == "added coverage, added side by side"
    fresh = pin(board=None, title="Winter", tiles=tiles[:1]).json()
    assert fresh["url"] == reverse("board", args=[Board.objects.get(title="Winter").code])
    assert pin(board=None, title="", tiles=tiles).status_code == 422
    assert pin(board=str(uuid4()), tiles=tiles).json()["error"] == "This board is gone. Choose another one."
    # A refused tile makes no board.
    boards = Board.objects.count()
    assert pin(board=None, title="Spring", tiles=[tiles[0] | {"name": "none"}]).status_code == 422
    assert Board.objects.count() == boards


def test_viewers_see_no_controls(board: Board, vera: User, as_user: SignIn) -> None:
    page = as_user(vera).get(reverse("board", args=[board.code]) + "?edit=1").content.decode()
    assert "data-edit>" not in page
    assert "data-save=" not in page
    assert reverse("board-freeze", args=[board.code]) not in page


def test_a_preview_of_a_tile(board: Board, finished: Experiment, bob: User, as_user: SignIn) -> None:
    tile = chart("new", experiment=str(finished.code))
    tile.pop("text")
    body = json.dumps({"content": {"title": "one", "tiles": [tile]}})
    answer = as_user(bob).post(reverse("board-tile", args=[board.code]), body, content_type="application/json")
    assert 'data-tile="new"' in answer.content.decode()
    assert "Coverage against samples" in answer.content.decode()
