"""Sets of posed pictures: uploads and folders, read by a worker; what is wrong is named before anything is trained."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from PIL import Image

from jobs.kinds.data_sets import standing
from jobs.kinds.scenes.asking import SceneRequest, ask_scene
from jobs.kinds.scenes.details import set_picture
from jobs.kinds.scenes.models import Collected, SceneSet, SetScene
from jobs.kinds.scenes.sets import SETS
from jobs.models import Experiment, Status
from jobs.services import Refused
from tests.engine.scenes.data.folders import write_gsn
from webapp.accounts.models import Team, User

pytestmark = pytest.mark.django_db(transaction=True)


def zipped(folder: Path) -> ContentFile[bytes]:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return ContentFile(packed.getvalue(), "rooms.zip")


def read_again(found: SceneSet) -> SceneSet:
    return SceneSet.objects.select_related("reader").get(pk=found.pk)


def test_an_upload_is_read_shown_and_trained_on(
    team: Team,
    alice: User,
    tmp_path: Path,
    workers: Callable[[], None],
    submit_scenes: Callable[..., Experiment],
) -> None:
    root = tmp_path / "set"
    write_gsn(root / "train" / "wall", count=6)
    write_gsn(root / "test" / "wall", count=6)
    Image.new("RGB", (5, 5)).save(root / "train" / "wall" / "003_rgb.png")  # of another size than the rest
    made = SETS.add_upload(team=team, by=alice, file=zipped(root))
    with pytest.raises(Refused, match="called rooms already"):
        SETS.add_upload(team=team, by=alice, file=zipped(root))
    with pytest.raises(Refused, match="not read yet"):
        submit_scenes(data=f"set/{made.code}")
    workers()
    found = read_again(made)
    assert standing(found) == ("ready", ""), found.reader and found.reader.reason
    assert (found.format, found.counts["scenes"], found.counts["views"], found.counts["depth"]) == ("gsn", 2, 11, 2)
    assert found.report["counts"] == {"wrong_size": 1}
    assert "5 x 5 pixels" in found.report["problems"][0]["message"]
    scenes = SetScene.objects.filter(data_set=found).order_by("index")
    assert [(scene.name, len(scene.values["cameras"])) for scene in scenes] == [("test/wall", 6), ("train/wall", 5)]
    camera = scenes[0].values["cameras"][0]
    assert camera["forward"] == [0, 1, 0] and camera["down"] == [0, 0, -1]
    jpeg = set_picture(found, 1, 4)
    assert jpeg is not None and Image.open(io.BytesIO(jpeg)).size == (160, 160) and set_picture(found, 1, 5) is None

    trained = submit_scenes(data=f"set/{found.code}", autoencoder_steps=2, latent_steps=2, diffusion_steps=2, scenes=1)
    workers()
    trained.refresh_from_db()
    assert trained.status == Status.FINISHED, trained.reason
    values = Collected.objects.get(experiment=trained).values
    assert values["scenes"] == {"train": 1, "test": 1} and not values["has_maps"] and values["held_out"] == 1
    with pytest.raises(Refused, match="without maps"):
        ask_scene(experiment=trained, by=alice, request=SceneRequest(), map=ContentFile(jpeg, "map.png"))
    strict = submit_scenes(data=f"set/{found.code}", strict=True)
    workers()
    strict.refresh_from_db()
    assert strict.status == Status.FAILED and "wrong size" in strict.reason and "do not stop at faults" in strict.reason
    SETS.delete(data_set=found)
    assert not SetScene.objects.exists()


def test_what_cannot_be_used_is_said_on_its_page(
    team: Team, alice: User, tmp_path: Path, workers: Callable[[], None]
) -> None:
    write_gsn(tmp_path / "set" / "wall", count=1)
    made = SETS.add_upload(team=team, by=alice, file=zipped(tmp_path / "set"))
    workers()
    state, reason = standing(read_again(made))
    assert state == "refused" and "a scene needs at least 2" in reason
    assert made.reader is not None and made.reader.shards.get().attempt == 1, "trying again does not help"


def test_folders(team: Team, alice: User, tmp_path: Path, settings: Any) -> None:
    with pytest.raises(Refused, match="CANOPY_SCENES_DIRS"):
        SETS.add_path(team=team, by=alice, path="wall")
    settings.SCENES_DIRS = [tmp_path]
    write_gsn(tmp_path / "wall")
    with pytest.raises(Refused, match="no such path"):
        SETS.add_path(team=team, by=alice, path="../etc")
    made = SETS.add_path(team=team, by=alice, path="wall")
    assert (made.name, made.source, standing(made)) == ("wall", "path", ("reading", ""))
    assert json.loads(json.dumps(made.reader and made.reader.spec))["train"] is False
