"""Data sets through the job: what is wrong is named, a set that cannot be used ends its reader with a sentence, and
the worker takes the next shard with the same runner machinery."""

from __future__ import annotations

import io
import json
import re
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from PIL import Image

from engine.detection.data import render_shapes
from engine.detection.data.coco import write as write_coco
from jobs.kinds.base import SpecError
from jobs.kinds.detection import sets
from jobs.kinds.detection.checks import check_spec
from jobs.kinds.detection.models import DataSet, LabelQuality, Run, SetImage
from jobs.kinds.detection.spec import DetectionSpec
from jobs.models import Experiment, Status
from jobs.services import Refused
from tests.jobs.kinds.detection.conftest import TINY
from webapp.accounts.models import Team, User

pytestmark = pytest.mark.django_db(transaction=True)
Work = Callable[[], None]


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    """A COCO data set of ten drawn images."""
    folder = tmp_path / "shapes"
    write_coco(render_shapes(folder, 10, size=64, seed=3), folder / "annotations.json")
    return folder


def zipped(folder: Path) -> ContentFile[bytes]:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return ContentFile(packed.getvalue(), "cells.zip")


def entries(**files: bytes) -> ContentFile[bytes]:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return ContentFile(packed.getvalue(), "bad.zip")


@pytest.fixture
def read(team: Team, alice: User, workers: Work) -> Callable[..., DataSet]:
    """``read(zip)``: uploaded, and read by a worker."""

    def upload(file: ContentFile[bytes], **more: Any) -> DataSet:
        made = sets.add_upload(team=team, by=alice, file=file, **more)
        workers()
        made.refresh_from_db()
        return made

    return upload


def spoil(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "annotations.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_an_upload_is_read_shown_and_trained_on(
    read: Callable[..., DataSet], shapes: Path, submit_detection: Callable[..., Experiment], workers: Work
) -> None:
    found = read(zipped(shapes))
    assert (found.name, found.status, found.format, found.has_masks) == ("cells", "ready", "coco", True)
    assert found.counts["images"] == 10 and found.counts["train"] == 8 and not found.counts["parted"]
    assert found.classes == ["ellipse", "rectangle", "corner"]
    images = list(SetImage.objects.filter(data_set=found).order_by("index"))
    assert [image.split for image in images] == ["train"] * 8 + ["val"] * 2
    assert Image.open(io.BytesIO(images[0].jpeg)).size == (64, 64) and images[0].labels[0][0] in (0, 1, 2)
    assert found.reader is not None and found.reader.status == Status.FINISHED
    assert LabelQuality.objects.filter(experiment=found.reader, rule="ellipse").exists()
    experiment = submit_detection(data=f"set/{found.code}", epochs=1, angles=[10.0], rules=["perfect"])
    workers()
    experiment.refresh_from_db()
    assert experiment.status == Status.FINISHED, experiment.reason
    with pytest.raises(Refused, match="already"):
        read(zipped(shapes))
    sets.delete(data_set=found)
    assert not DataSet.objects.exists() and Experiment.objects.filter(pk=experiment.pk).exists()


def test_every_fault_is_named_and_none_is_fatal(read: Callable[..., DataSet], shapes: Path) -> None:
    files = sorted((shapes / "images").iterdir())
    files[0].write_bytes(b"")
    files[1].write_bytes(files[1].read_bytes()[:300])
    files[2].unlink()
    huge = Image.new("1", (20_000, 20_000))
    huge.save(files[3], "PNG")

    def change(content: dict[str, Any]) -> None:
        for image in content["images"]:
            if image["file_name"] == f"images/{files[3].name}":
                image |= {"width": 20_000, "height": 20_000}
        good = [each for each in content["annotations"] if each["image_id"] > 4]
        good[0]["bbox"] = [60, 60, 30, 30]
        good[1]["bbox"] = [500, 500, 10, 10]
        good[2]["bbox"] = [5, 5, 0, 10]
        good[3]["category_id"] = 77

    spoil(shapes, change)
    found = read(zipped(shapes))
    assert found.status == "ready" and found.counts["images"] == 6
    assert {"empty_image", "broken_image", "missing_image", "huge_image", "degenerate_box", "unknown_class"} <= set(
        found.report["counts"]
    )
    assert found.report["counts"]["box_outside"] == 2
    where = {each["kind"]: each["where"] for each in found.report["problems"]}
    assert where["empty_image"] == f"images/{files[0].name}" and where["huge_image"] == f"images/{files[3].name}"
    assert found.reader is not None
    lines = found.reader.log_lines.filter(level="warning").values_list("text", flat=True)
    assert any("huge image" in line and "400,000,000 pixels" in line for line in lines), list(lines)


def test_a_strict_experiment_stops_at_a_fault(
    read: Callable[..., DataSet], shapes: Path, submit_detection: Callable[..., Experiment], workers: Work
) -> None:
    next((shapes / "images").iterdir()).write_bytes(b"")
    found = read(zipped(shapes))
    experiment = submit_detection(data=f"set/{found.code}", strict=True)
    workers()
    experiment.refresh_from_db()
    assert experiment.status == Status.FAILED and "0 bytes" in experiment.reason
    assert not Run.objects.filter(experiment=experiment, epochs__gt=0).exists()
    found.refresh_from_db()
    assert found.status == "ready", "the set itself is as usable as before"


def _link() -> ContentFile[bytes]:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        entry = zipfile.ZipInfo("images/a.png")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    return ContentFile(packed.getvalue(), "bad.zip")


HOSTILE: dict[str, tuple[Callable[[], ContentFile[bytes]], str]] = {
    "bomb": (lambda: entries(**{"images/a.png": b"\0" * (16 << 20)}), "zip bomb"),
    "escape": (lambda: entries(**{"../../escape.json": b"{}"}), "leads out"),
    "absolute": (lambda: entries(**{"/etc/passwd": b"x"}), "leads out"),
    "link": (_link, "link"),
    "nothing": (lambda: entries(**{"readme.txt": b"hello"}), "no .* annotations"),
    "no images": (
        lambda: entries(
            **{
                "a.json": json.dumps(
                    {
                        "images": [{"id": 1, "file_name": "../../../etc/passwd", "width": 5, "height": 5}],
                        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 2]}],
                        "categories": [{"id": 1, "name": "x"}],
                    }
                ).encode()
            }
        ),
        "no image",
    ),
}


def test_hostile_archives_are_refused_and_the_worker_lives(
    read: Callable[..., DataSet], shapes: Path, tmp_path: Path, settings: Any
) -> None:
    for name, (make, reason) in HOSTILE.items():
        found = read(make(), name=name)
        assert found.status == "refused", name
        assert found.reason and re.search(reason, found.reason), (name, found.reason)
        assert found.reader is not None
        shard = found.reader.shards.get()
        assert (shard.status, shard.attempt) == ("failed", 1), "nobody tries again what must fail again"
        folder = settings.DATA_DIR / "detection" / "sets" / str(found.code)
        assert not folder.exists() or not list(folder.iterdir()), "nothing is left of it"
    assert read(zipped(shapes), name="good").status == "ready"


def test_what_is_wrong_at_a_glance_is_refused_at_once(team: Team, alice: User, settings: Any) -> None:
    with pytest.raises(Refused, match="empty"):
        sets.add_upload(team=team, by=alice, file=ContentFile(b"", "a.zip"))
    with pytest.raises(Refused, match="no zip"):
        sets.add_upload(team=team, by=alice, file=ContentFile(b"hello", "a.zip"))
    settings.DETECTION_MAX_BYTES = 10
    with pytest.raises(Refused, match="larger"):
        sets.add_upload(team=team, by=alice, file=ContentFile(b"PK" * 20, "a.zip"))
    assert not DataSet.objects.exists() and not Experiment.objects.exists()


def test_paths_only_below_allowed_folders(
    team: Team, alice: User, shapes: Path, settings: Any, monkeypatch: pytest.MonkeyPatch, workers: Work
) -> None:
    settings.DETECTION_DIRS = []
    with pytest.raises(Refused, match="no folder"):
        sets.add_path(team=team, by=alice, path=str(shapes))
    settings.DETECTION_DIRS = [shapes.parent]
    (shapes.parent / "way out").symlink_to("/etc")
    for path in ("/etc", "../..", "way out", "", "nowhere", "a\0b"):
        with pytest.raises(Refused):
            sets.add_path(team=team, by=alice, path=path)
    found = sets.add_path(team=team, by=alice, path="shapes")
    workers()
    found.refresh_from_db()
    assert (found.status, found.counts["images"]) == ("ready", 10)


def test_another_teams_set_is_no_set(team: Team, read: Callable[..., DataSet], shapes: Path) -> None:
    found = read(zipped(shapes))
    spec = DetectionSpec.model_validate(TINY | {"data": f"set/{found.code}"})
    assert check_spec(spec, team) == []
    (error,) = check_spec(spec, Team.objects.create(name="Elsewhere"))
    assert isinstance(error, SpecError) and error.field == "data"
