"""The client and the command with scene experiments."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.kinds.scenes.models import GeneratedScene, SceneSet
from jobs.models import Experiment, Status
from tests.webapp.api import test_client
from tests.webapp.api.test_client import canopy, text, through  # noqa: F401  fixtures
from tests.webapp.scenes import make_drawn, make_scenes
from webapp.accounts.models import Team, User
from webapp.client import ApiError, cli

pytestmark = test_client.pytestmark
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _folder(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    path = tmp_path / "rooms.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return path


def test_results_through_the_client(text: str, team: Team, alice: User, tmp_path: Path) -> None:  # noqa: F811
    code = str(make_scenes(team, alice).code)
    picture = tmp_path / "map.png"
    picture.write_bytes(b"not looked at here")
    with through(text) as client:
        assert [stage.stopped for stage in client.stages(code)] == ["finished"] * 3
        assert {loss.stage for loss in client.losses(code)} == {"autoencoder", "latents", "diffusion"}
        assert {score.subject for score in client.scene_scores(code)} >= {"samples", "autoencoder", "real"}
        scenes = client.scenes(code)
        assert [scene.number for scene in scenes] == [1, 2, 3]
        one, listed = client.scene(code, 2).model_dump(), scenes[1].model_dump()
        assert one["values"]["cameras"]  # a list leaves cameras and flights out
        assert {**one, "values": listed["values"]} == listed
        assert listed["values"].items() <= one["values"].items()
        name = "scene-0002/volume.rgba.gz"
        assert name in scenes[1].files and client.download(code, name, tmp_path / "volume.gz") > 100
        asked = client.draw_scene(code, map=picture, seed=9, c={"steps": 7})
        assert (asked.number, asked.state, asked.seed, asked.is_open) == (4, "asked", 9, True)
        assert asked.settings["c"]["steps"] == 7 and asked.settings["c"]["sampler"] == "dpm-solver++"
        stored = GeneratedScene.objects.get(number=4)
        assert (tmp_path / "media" / stored.map_file).read_bytes() == b"not looked at here"
        with pytest.raises(ApiError, match="needs a box"):
            client.draw_scene(code, operation="inpaint", parent=1)
        with pytest.raises(ApiError) as caught:
            client.draw_scene(code, operation="inpaint", parent=1, box={"x0": 1, "y0": 0, "x1": 0.5, "y1": 1})
        assert caught.value.status == 422 and "x0 < x1" in str(caught.value.errors)
        with pytest.raises(ApiError, match="nothing here"):
            client.scene(code, 99)


def test_scene_sets_through_the_client(text: str, team: Team, packed: Path) -> None:  # noqa: F811
    with through(text) as client:
        made = client.upload_scene_set(str(team.code), packed)
        assert (made.name, made.state, client.scene_set(made.code)) == ("rooms", "reading", made)
        assert client.scene_sets(str(team.code)) == [made]
        with pytest.raises(ApiError, match="no folder"):
            client.add_scene_set_folder(str(team.code), "/etc")
        with pytest.raises(ApiError, match="has not ended"):
            client.delete_scene_set(made.code)
        Experiment.objects.update(status=Status.FAILED)
        client.delete_scene_set(made.code)
    assert not SceneSet.objects.exists()


def test_scenes_from_the_command(
    canopy: Run,  # noqa: F811
    team: Team,
    alice: User,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = str(make_scenes(team, alice).code)
    status, said, _ = canopy("scenes", code)
    assert status == 0 and "scene-0003" in said and "drawn" in said
    assert len(json.loads(canopy("scenes", code, "--json")[1])) == 3
    status, said, _ = canopy("scene-scores", code)
    assert status == 0 and "PSNR, dB" in said and "21.4" in said
    assert canopy("pull", code, "scene-0001", "scene-0002", "--to", str(tmp_path))[0] == 0
    assert all((tmp_path / folder / "volume.rgba.gz").exists() for folder in ("scene-0001", "scene-0002"))
    assert canopy("pull", code, "scene-0009")[0] == cli.USAGE

    def drawn(_: float) -> None:
        scene = GeneratedScene.objects.get(number=4)
        make_drawn(scene)
        scene.experiment.shards.filter(stage="generate").update(status="done")

    monkeypatch.setattr("time.sleep", drawn)
    status, said, _ = canopy("draw", code, "--operation", "vary", "--parent", "1", "--to", str(tmp_path))
    assert status == 0 and "scene-0004: drawn" in said and (tmp_path / "scene-0004" / "poster.jpg").exists()
    assert canopy("draw", code, "--operation", "vary")[0] == cli.REFUSED
    assert canopy("draw", code, "--box", "1,2")[0] == cli.USAGE


def test_a_set_from_the_command(canopy: Run, team: Team, packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr("webapp.client.client.Client.watch", lambda self, code: _read())
    status, said, told = canopy("add-scene-set", str(packed))
    assert status == cli.FAILED and said.startswith("set/") and "refused. No scene can be used" in told
    assert canopy("add-scene-set", str(packed.parent / "none.zip"))[0] == cli.USAGE
    assert canopy("add-scene-set", "rooms", "--on-workers")[0] == cli.REFUSED
    assert "rooms" in canopy("scene-sets")[1]


def _read() -> list[object]:
    """What a worker does to the set."""
    SceneSet.objects.update(status="refused", reason="No scene can be used.")
    return []


def test_names_of_files_stay_in_their_folder() -> None:
    assert cli.safe_path("scene-0001/scene.glb") == Path("scene-0001/scene.glb")
    assert cli.safe_path("scene-0001/../../etc/passwd") == Path("passwd")
    assert cli.safe_path("/scene-0001/x") == Path("x")
