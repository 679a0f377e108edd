"""The experiment page of scenes: every tab in every state, what strangers see, and how many queries a page takes."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from jobs.kinds.scenes.models import GeneratedScene, SceneRun
from jobs.models import Experiment, Status
from tests.webapp.scenes import GRID, ask_for, hall, make_previewed, make_scenes, make_set
from tests.webapp.test_html import Page, check_labels, check_policy
from tests.webapp.test_live_page import share
from webapp.accounts.models import Team, User
from webapp.sharing.services import Options, draft, make_link
from webapp.sharing.targets import CannotShare

pytestmark = pytest.mark.django_db
SignIn = Callable[[User], Client]
TABS = ["", "scenes", "make", "quality", "data", "log", "config", "files"]


@pytest.fixture(autouse=True)
def _media(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


def address(experiment: Experiment, tab: str = "") -> str:
    name, keys = ("experiment-tab", [experiment.code, tab]) if tab else ("experiment", [experiment.code])
    return reverse(name, args=keys)


def item(client: Client, experiment: Experiment, number: int) -> Any:
    return client.get(reverse("experiment-item", args=[experiment.code, "scene", str(number)]))


async def _collect(answer: Any) -> list[bytes]:
    return [chunk async for chunk in answer.streaming_content]


def content(answer: Any) -> bytes:
    chunks: list[bytes] = async_to_sync(_collect)(answer)
    return b"".join(chunks)


def checked(answer: Any) -> str:
    assert answer.status_code == 200
    text: str = answer.content.decode()
    page = Page(text)
    assert page.unbalanced == [] and page.stack == []
    check_policy(page)
    check_labels(page, {attributes["id"] for _, attributes in page.elements if "id" in attributes})
    return text


@pytest.mark.parametrize("status", Status.values)
@pytest.mark.parametrize("tab", TABS)
def test_every_tab_in_every_state(tab: str, status: str, team: Team, bob: User, as_user: SignIn) -> None:
    ended, begun = status == Status.FINISHED, status != Status.QUEUED
    experiment = make_scenes(team, status=status, drawn=3 if ended else 0, trained=3 if ended else int(begun))
    text = checked(as_user(bob).get(address(experiment, tab)))
    assert "Draw more" not in text and "Grade again" not in text
    if tab == "make":
        assert ("data-make" in text) == ended, "nothing can be drawn before the model is trained"


def test_an_experiment_that_only_reads_has_no_model_on_its_page(team: Team, bob: User, as_user: SignIn) -> None:
    experiment = make_scenes(team, spec={"data": f"set/{make_set(team).code}", "train": False}, drawn=0, trained=0)
    client = as_user(bob)
    text = checked(client.get(address(experiment)))
    assert 'id="loss"' not in text and 'id="scene"' not in text and 'data-bind="data"' in text
    assert 'id="rig"' in checked(client.get(address(experiment, "data")))


def test_pages_take_few_queries_however_many_scenes(team: Team, bob: User, as_user: SignIn) -> None:
    client = as_user(bob)
    for drawn in (1, 12):
        experiment = make_scenes(team, spec={"scenes": 12}, drawn=drawn)
        for tab, most in (("", 30), ("scenes", 25), ("make", 30), ("quality", 25)):
            with CaptureQueriesContext(connection) as found:
                client.get(address(experiment, tab))
            assert len(found) <= most, (tab, drawn, len(found))


# --- scenes -----------------------------------------------------------------------------------------------------------


def test_the_gallery_is_paged_sorted_and_filtered(team: Team, bob: User, as_user: SignIn) -> None:
    experiment = make_scenes(team, spec={"scenes": 30}, drawn=2)
    parent = GeneratedScene.objects.get(experiment=experiment, number=1)
    ask_for(experiment, operation="vary", parent=parent)
    client, url = as_user(bob), address(experiment, "scenes")

    def numbers(query: str) -> list[int]:
        return [each.scene.number for each in client.get(url + query).context["items"]]

    assert numbers("") == list(range(31, 7, -1)) and numbers("?page=2") == list(range(7, 0, -1))
    assert numbers("?order=oldest")[:2] == [1, 2] and numbers("?op=vary") == [31] and numbers("?seed=3") == [4]
    assert numbers("?page=999&op=nonsense&seed=x") == list(range(7, 0, -1)), "nonsense is left out"
    assert "Scene 31" in client.get(url, headers={"X-Part": "browser"}).content.decode()


def test_a_scene_in_full_shows_how_it_was_made_and_its_files(team: Team, bob: User, as_user: SignIn) -> None:
    experiment = make_scenes(team)
    parent = GeneratedScene.objects.get(experiment=experiment, number=2)
    ask_for(experiment, operation="vary", parent=parent)
    text = checked(as_user(bob).get(address(experiment, "scenes") + "?at=2"))
    assert "Mesh (.glb)" in text and "Made from it" in text and "10 steps, guidance 1.0" in text
    assert "Drawn in" in text and "1.8 s" in text and "32 × 32 × 8" in text
    waiting = checked(as_user(bob).get(address(experiment, "scenes") + "?at=4"))
    assert "Waiting for a worker" in waiting and "<canopy-scene" not in waiting


def test_the_manifest_names_files_that_this_visitor_may_read(team: Team, bob: User, as_user: SignIn) -> None:
    experiment = make_scenes(team)
    client = as_user(bob)
    told = item(client, experiment, 1).json()
    assert told["version"] == 1 and told["grid"] == list(GRID) and len(told["cameras"]) == 6
    assert [step["label"] for step in told["steps"]] == ["coarse, step 5 of 10", "coarse, step 10 of 10"]
    assert [each["label"] for each in told["downloads"]] == ["Mesh (.glb)", "Cameras (.json)"]
    seed = GeneratedScene.objects.get(experiment=experiment, number=1).seed
    assert gzip.decompress(content(client.get(told["volume"]))) == hall(seed).tobytes()
    assert client.get(told["poster"]).headers["Content-Type"] == "image/jpeg"
    token = share(experiment)
    shared = Client().get(reverse("shared-item", args=[token, "scene", "1"])).json()
    assert shared["volume"].startswith(f"/s/{token}/") and Client().get(shared["poster"]).status_code == 200
    assert all(each["url"].startswith(f"/s/{token}/") for each in shared["downloads"] + told["steps"][:0])


def test_the_manifest_of_a_scene_that_forms_is_its_newest_preview(team: Team, bob: User, as_user: SignIn) -> None:
    experiment = make_scenes(team, status=Status.RUNNING, drawn=0)
    client = as_user(bob)
    assert item(client, experiment, 1).status_code == 404, "nothing to see yet"
    make_previewed(GeneratedScene.objects.get(experiment=experiment, number=1))
    told = item(client, experiment, 1).json()
    assert told["volume"] == told["steps"][0]["volume"] and told["poster"] == "" and told["grid"] == list(GRID)
    assert item(client, experiment, 99).status_code == 404
    assert client.get(reverse("experiment-item", args=[experiment.code, "scene", "x"])).status_code == 404


# --- strangers --------------------------------------------------------------------------------------------------------


def test_a_share_link_shows_scenes_and_no_way_to_make_some(team: Team) -> None:
    experiment = make_scenes(team)
    token, stranger = share(experiment), Client()
    for tab in ("", "scenes/", "quality/", "data/", "scenes/?at=1"):
        text = checked(stranger.get(f"/s/{token}/{tab}"))
        assert "/experiments/" not in text and "/make/" not in text, tab
    assert stranger.get(f"/s/{token}/make/").status_code == 404


def test_a_stranger_is_not_told_why_a_scene_failed(team: Team) -> None:
    experiment = make_scenes(team)
    scene = ask_for(experiment)
    experiment.shards.filter(stage="generate").update(status="failed", reason="/srv/secret is full")
    SceneRun.objects.filter(experiment=experiment, stage="latents").update(reused_from=make_scenes(team, drawn=0))
    state = Client().get(f"/s/{share(experiment)}/live.json").json()["kind"]
    assert "secret" not in json.dumps(state) and all(run["reused_from"] is None for run in state["runs"])
    row = next(row for row in state["scenes"] if row["number"] == scene.number)
    assert row["status"] == "failed" and "cameras" not in row["values"]


def test_a_share_link_can_leave_scenes_out(team: Team) -> None:
    experiment = make_scenes(team)
    token, stranger = share(experiment, include_samples=False), Client()
    text = checked(stranger.get(f"/s/{token}/"))
    assert "<canopy-scene" not in text and 'id="loss"' in text
    assert "view-row" not in checked(stranger.get(f"/s/{token}/quality/"))
    for path in ("scenes/", "data/", "data/scene/1.json", "pictures/poster/1.jpg", "pictures/view/0-input@300.jpg"):
        assert stranger.get(f"/s/{token}/{path}").status_code == 404, path
    assert stranger.get(f"/s/{token}/downloads/scenes.jsonl").status_code == 404


def test_a_viewer_reads_and_does_not_make(team: Team, vera: User, as_user: SignIn) -> None:
    experiment = make_scenes(team)
    client = as_user(vera)
    assert client.get(address(experiment, "make")).status_code == 404
    assert "Make a scene" not in checked(client.get(address(experiment, "scenes")))


# --- quality, data, files ---------------------------------------------------------------------------------------------


def test_held_out_views_have_a_table_and_an_order(team: Team, bob: User, as_user: SignIn) -> None:
    experiment = make_scenes(team)
    client = as_user(bob)
    text = checked(client.get(address(experiment, "quality") + "?order=worst"))
    assert "room-000, view 4" in text and "Held-out views as a table" in text and "0.080" in text
    psnrs = [row.psnr for row in client.get(address(experiment, "quality") + "?order=best").context["rows"]]
    assert psnrs == [23.0, 22.0, 21.0, 20.0]
    for part, status in (("input", 200), ("depth", 200), ("secret", 404)):
        url = reverse("experiment-picture", args=[experiment.code, "view", f"0-{part}@300"])
        assert client.get(url).status_code == status


def test_downloads(team: Team, bob: User, as_user: SignIn) -> None:
    experiment = make_scenes(team)
    client = as_user(bob)

    def text_of(name: str) -> str:
        return content(client.get(reverse("experiment-download", args=[experiment.code, name]))).decode()

    losses = list(csv.DictReader(io.StringIO(text_of("losses.csv"))))
    assert {row["stage"] for row in losses} == {"autoencoder", "latents", "diffusion"}
    assert ("autoencoder", "image") in {(row["stage"], row["part"]) for row in losses}
    scores = {(row["subject"], row["metric"]): row for row in csv.DictReader(io.StringIO(text_of("evaluation.csv")))}
    assert scores["real", "kid"]["value"] == "0.0007" and scores["autoencoder", "psnr"]["unit"] == "dB"
    scenes = [json.loads(line) for line in text_of("scenes.jsonl").splitlines()]
    assert [each["number"] for each in scenes] == [1, 2, 3] and scenes[0]["settings"]["g"]["steps"] == 10


def test_compare_puts_experiments_side_by_side(team: Team, bob: User, as_user: SignIn) -> None:
    one, two = make_scenes(team, name="One"), make_scenes(team, name="Two", spec={"groups": "c+f"})
    path = reverse("compare", args=[team.code]) + f"?e={one.code}&e={two.code}"
    client = as_user(bob)
    with CaptureQueriesContext(connection) as found:
        answer = client.get(path)
    assert len(found) <= 22
    text = checked(answer)
    assert "KID, EffLite0" in text and "<canopy-scene" in text and f"/experiments/{two.code}/data/scene/1.json" in text
    assert [row.note for row in answer.context["table"]][:1] == ["scenes"]
    series = client.get(path, headers={"X-Part": "series"}).json()
    assert [run["name"] for run in series["runs"]] == ["One", "Two"] and series["runs"][0]["losses"]["latents"][
        "steps"
    ][0] == 1


def test_a_kept_stage_is_told_where_an_experiment_failed(team: Team, bob: User, as_user: SignIn) -> None:
    experiment = make_scenes(team, status=Status.FAILED, reason="the loss is not a number", drawn=0, trained=1)
    SceneRun.objects.filter(experiment=experiment, stage="latents").update(stopped="not finite")
    text = checked(as_user(bob).get(address(experiment, "make")))
    assert "A retry goes on where it stopped" in text


@pytest.mark.parametrize("chart", ["loss", "scores"])
def test_a_chart_can_be_shared_alone(chart: str, team: Team) -> None:
    experiment = make_scenes(team)
    scope = {"experiment": str(experiment.code), "chart": chart}
    token = share(experiment, target="chart", scope=scope)
    text = checked(Client().get(f"/s/{token}/"))
    assert f'id="{chart}"' in text and "<canopy-scene" not in text and 'id="gallery"' not in text
    state = Client().get(f"/s/{token}/live.json").json()["kind"]
    assert set(state) == ({"runs", "losses"} if chart == "loss" else {"scores"})
    assert Client().get(f"/s/{token}/data/scene/1.json").status_code == 404


def test_one_scene_can_be_shared_alone(team: Team, bob: User, alice: User, as_user: SignIn) -> None:
    experiment = make_scenes(team, drawn=2)
    gallery = checked(as_user(bob).get(address(experiment, "scenes") + "?at=2"))
    assert 'data-share-target="scene"' in gallery and "&quot;scene&quot;: 2" in gallery
    scope = {"experiment": str(experiment.code), "scene": 2}
    _, token = make_link(team, Options("scene", scope), by=alice)
    text = checked(Client().get(f"/s/{token}/"))
    assert f'src="/s/{token}/scene.json"' in text and "Mesh (.glb)" in text
    assert text.index('type="importmap"') < text.index('type="module"')
    assert str(experiment.code) not in text and "Scene 1" not in text and "?at=" not in text
    told = Client().get(f"/s/{token}/scene.json").json()
    seed = GeneratedScene.objects.get(experiment=experiment, number=2).seed
    assert gzip.decompress(content(Client().get(told["volume"]))) == hall(seed).tobytes()
    assert Client().get(told["poster"]).headers["Content-Type"] == "image/jpeg"
    assert [each["label"] for each in told["downloads"]] == ["Mesh (.glb)", "Cameras (.json)"]
    assert all(each["url"].startswith(f"/s/{token}/scene/") for each in told["downloads"])
    _, hidden = make_link(team, Options("scene", scope, anonymous=True), by=alice)
    page = checked(Client().get(f"/s/{hidden}/"))
    assert "three.core.js" in page and "Mesh (.glb)" not in page
    anonymous = Client().get(f"/s/{hidden}/scene.json").json()
    assert anonymous["volume"] and anonymous["cameras"] == told["cameras"] and anonymous["downloads"] == []
    GeneratedScene.objects.filter(experiment=experiment, number=2).delete()
    assert Client().get(f"/s/{token}/").status_code == 410, "it ends with its scene"


@pytest.mark.parametrize("number", [3, 99, None, "x", [1]])
def test_only_a_drawn_scene_is_shared(number: Any, team: Team, make_experiment: Callable[..., Experiment]) -> None:
    drawn = make_scenes(team, drawn=2)
    for experiment in (drawn, make_experiment()):
        with pytest.raises(CannotShare):
            draft(team, Options("scene", {"experiment": str(experiment.code), "scene": number}))
    with pytest.raises(CannotShare, match="cannot be frozen"):
        make_link(team, Options("scene", {"experiment": str(drawn.code), "scene": 1}, freeze=True))
