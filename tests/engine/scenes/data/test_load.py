from __future__ import annotations

import json
import math
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.detection.data.types import DatasetError
from engine.scenes.data import SceneDataError, load_scenes, split
from engine.scenes.data.gsn import read_plan, write_plan
from engine.scenes.data.types import Plan
from tests.engine.scenes.data.folders import edit, row, write_gsn, write_transforms


def test_gsn_comes_back(tmp_path: Path) -> None:
    box = {"origin": [-2, 0, -3], "size": [4, 12, 6]}
    write_gsn(tmp_path / "train" / "a", box=box, held_out=[1], group="house")
    write_gsn(tmp_path / "test" / "b", group="barn")
    loaded = load_scenes(tmp_path)
    assert loaded.format == "gsn" and not loaded.report.problems
    (scene,), (other,) = loaded.train_test()
    assert scene.name == "train/a" and other.name == "test/b" and len(scene) == 4
    assert torch.allclose(scene.cameras.camera_to_world, row().camera_to_world)
    assert torch.equal(scene.cameras.intrinsics, row().intrinsics)
    assert scene.box == ((-2, 0, -3), (4, 12, 6)) and scene.held_out == (1,) and scene.group == "house"
    assert (scene.depth_scale, scene.depth_offset, scene.has_depth) == (0.1, 0, True)


def test_gsn_as_it_is_published_has_no_further_file(tmp_path: Path) -> None:
    folder = write_gsn(tmp_path / "train" / "00")
    (folder / "scene.json").unlink()
    edit(folder / "cameras.json", lambda stored: [{**each, "K": _padded(each["K"])} for each in stored])
    (scene,) = load_scenes(tmp_path).scenes
    assert scene.depth_scale == pytest.approx(100 / 14) and scene.box is None
    assert torch.equal(scene.cameras.intrinsics, row().intrinsics)
    (turned,) = load_scenes(tmp_path, axes="opengl").scenes
    assert torch.allclose(turned.cameras.forward, -scene.cameras.forward)


def test_transforms_of_nerfstudio(tmp_path: Path) -> None:
    write_transforms(tmp_path / "garden")
    loaded = load_scenes(tmp_path)
    assert loaded.format == "transforms" and not loaded.report.problems
    (scene,) = loaded.scenes
    assert torch.allclose(scene.cameras.camera_to_world, row().camera_to_world, atol=1e-12)
    assert torch.equal(scene.cameras.intrinsics, row().intrinsics)


def test_transforms_of_blender_state_an_angle_and_no_suffix(tmp_path: Path) -> None:
    """In three files, of which the views of two are held out."""
    folder = write_transforms(tmp_path / "lego", fl_x=None, fl_y=None, cx=None, cy=None, w=None, h=None)
    stored = json.loads((folder / "transforms.json").read_text())
    stored["camera_angle_x"] = 2 * math.atan(20 / 30)
    for each in stored["frames"]:
        each["file_path"] = "./" + each["file_path"].removesuffix(".png")
    (folder / "transforms.json").unlink()
    for name, some in (("train", slice(0, 2)), ("val", slice(2, 3)), ("test", slice(3, 4))):
        (folder / f"transforms_{name}.json").write_text(json.dumps({**stored, "frames": stored["frames"][some]}))
    loaded = load_scenes(tmp_path)
    (scene,) = loaded.scenes
    assert not loaded.report.problems and len(scene) == 4 and scene.held_out == (2, 3)
    assert torch.allclose(scene.cameras.intrinsics, row().intrinsics)


def test_a_leaning_world_is_turned_upright(tmp_path: Path) -> None:
    write_transforms(tmp_path / "a", turn=0.5)
    (scene,) = load_scenes(tmp_path).scenes
    assert torch.allclose(scene.cameras.camera_to_world[:, :3, 1].mean(0), torch.tensor([0, 0, -1.0]).double())
    before, after = row().centres, scene.cameras.centres
    assert torch.allclose(torch.cdist(before, before), torch.cdist(after, after))
    write_transforms(tmp_path / "b" / "b", turn=0.1)  # within 10 degrees it is left as it is
    (kept,) = load_scenes(tmp_path / "b").scenes
    assert kept.cameras.camera_to_world[0, 2, 1] == pytest.approx(-math.cos(0.1))


def _padded(k: list[list[float]]) -> list[list[float]]:
    return [[*line, 0.0] for line in k] + [[0.0, 0.0, 0.0, 1.0]]


def _set_k(line: int, column: int, value: float) -> Callable[[Any], None]:
    return lambda stored: stored[1]["K"][line].__setitem__(column, value)


def _set_rt(line: int, column: int, value: float) -> Callable[[Any], None]:
    return lambda stored: stored[1]["Rt"][line].__setitem__(column, value)


def _transpose(stored: Any) -> None:
    stored[1]["Rt"] = np.array(stored[1]["Rt"]).T.tolist()


def _without_k(stored: Any) -> None:
    del stored[0]["K"]


def _flat_box(stored: Any) -> None:
    stored["box"] = {"origin": [0, 0, 0], "size": [4, 0, 4]}


CASES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "one pose too few": (lambda f: edit(f / "cameras.json", lambda s: s[:-1]), "pose_count"),
    "one picture too few": (lambda f: (f / "002_rgb.png").unlink(), "pose_count"),
    "no focal length": (lambda f: edit(f / "cameras.json", _without_k), "missing_intrinsics"),
    "a focal length of zero": (lambda f: edit(f / "cameras.json", _set_k(0, 0, 0)), "bad_intrinsics"),
    "intrinsics for another size": (lambda f: edit(f / "cameras.json", _set_k(0, 2, 320)), "bad_intrinsics"),
    "a number that is none": (lambda f: edit(f / "cameras.json", _set_rt(0, 3, float("nan"))), "bad_pose"),
    "a scaled pose": (lambda f: edit(f / "cameras.json", _set_rt(0, 0, 2)), "bad_pose"),
    "a pose by columns": (lambda f: edit(f / "cameras.json", _transpose), "bad_pose"),
    "a picture of another size": (lambda f: Image.new("RGB", (20, 30)).save(f / "001_rgb.png"), "wrong_size"),
    "a picture cut short": (lambda f: (f / "001_rgb.png").write_bytes(b"\x89PNG\r\n\x1a\nabc"), "broken_image"),
    "an empty picture": (lambda f: (f / "001_rgb.png").write_bytes(b""), "empty_image"),
    "depth of another size": (lambda f: Image.new("L", (4, 4)).save(f / "001_depth.png"), "bad_depth"),
    "cameras that are no list": (lambda f: (f / "cameras.json").write_text("{"), "bad_cameras"),
    "deep brackets": (lambda f: (f / "cameras.json").write_text("[" * 200_000), "bad_cameras"),
    "a box without size": (lambda f: edit(f / "scene.json", _flat_box), "bad_cameras"),
    "one place": (lambda f: edit(f / "cameras.json", lambda s: [s[0]] * 4), "one_place"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_named(case: str, tmp_path: Path) -> None:
    """A good scene beside the broken one is read all the same."""
    write_gsn(tmp_path / "train" / "good")
    folder = write_gsn(tmp_path / "train" / "bad")
    change, kind = CASES[case]
    change(folder)
    loaded = load_scenes(tmp_path)
    assert loaded.report.counts[kind] == 1, loaded.report.sentences()
    assert loaded.report.problems[0].where.startswith("train/bad")
    assert "train/good" in [scene.name for scene in loaded.scenes]
    with pytest.raises(SceneDataError, match="train/bad"):
        loaded.report.refuse()


def test_one_image_is_no_scene(tmp_path: Path) -> None:
    write_transforms(tmp_path / "a", count=1)
    with pytest.raises(SceneDataError, match="1 usable of 1 pictures; a scene needs at least 2"):
        load_scenes(tmp_path)


def test_a_lens_is_named(tmp_path: Path) -> None:
    write_transforms(tmp_path / "a", k1=0.1)
    write_transforms(tmp_path / "b", camera_model="OPENCV_FISHEYE")
    loaded = load_scenes(tmp_path)
    assert [scene.name for scene in loaded.scenes] == ["a"] and loaded.report.counts["lens_distortion"] == 2


def test_pictures_without_a_camera_are_counted(tmp_path: Path) -> None:
    folder = write_transforms(tmp_path / "a")
    shutil.copy(folder / "images" / "frame_0.png", folder / "images" / "frame_9.png")
    loaded = load_scenes(tmp_path)
    assert [(each.kind, each.where) for each in loaded.report.problems] == [("unposed_image", "a, images/frame_9.png")]


def test_a_camera_for_another_size_is_named(tmp_path: Path) -> None:
    write_transforms(tmp_path / "a", w=80, h=60)
    with pytest.raises(SceneDataError, match="the cameras are for 80 x 60 pixels, the file has 40 x 30"):
        load_scenes(tmp_path)


@pytest.mark.parametrize("file", ["../secret.png", "/etc/passwd", "images/\0.png", "x" * 5000 + ".png"])
def test_a_file_outside_of_the_folder_is_not_opened(tmp_path: Path, file: str) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "secret.png")
    folder = write_transforms(tmp_path / "a")
    edit(folder / "transforms.json", lambda stored: stored["frames"][0].update(file_path=file))
    loaded = load_scenes(tmp_path / "a")
    assert loaded.report.counts["missing_image"] == 1 and len(loaded.scenes[0]) == 3


@pytest.mark.parametrize(
    "stored", ["[]", "{}", '{"frames": []}', '{"frames": [3]}', '{"frames": [{"file_path": "a.png"}]}', "null", "1e999"]
)
def test_broken_transforms_are_named(tmp_path: Path, stored: str) -> None:
    folder = write_transforms(tmp_path / "a")
    (folder / "transforms.json").write_text(stored)
    with pytest.raises(SceneDataError, match=r"No scene can be used.*transforms\.json"):
        load_scenes(tmp_path)


def test_a_folder_without_cameras_says_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(SceneDataError, match=r"cameras\.json .* transforms\.json .* COLMAP"):
        load_scenes(tmp_path)
    with pytest.raises(SceneDataError, match="no folder"):
        load_scenes(tmp_path / "nothing")


def test_a_zip_is_unpacked_safely(tmp_path: Path) -> None:
    folder = write_transforms(tmp_path / "a")
    good, evil = tmp_path / "good.zip", tmp_path / "evil.zip"
    with zipfile.ZipFile(good, "w") as archive:
        for path in folder.rglob("*.*"):
            archive.write(path, path.relative_to(tmp_path))
    with zipfile.ZipFile(evil, "w") as archive:
        archive.writestr("../transforms.json", "{}")
    assert len(load_scenes(good, unpack_to=tmp_path / "unpacked").scenes) == 1
    with pytest.raises(DatasetError, match="leads out"):
        load_scenes(evil, unpack_to=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_split_tears_no_map_apart(tmp_path: Path) -> None:
    for name, group in (("a", "m1"), ("b", "m1"), ("c", "m2"), ("d", "m3")):
        write_gsn(tmp_path / name, count=2, group=group)
    scenes = load_scenes(tmp_path).scenes
    for seed in range(6):
        train, test = split(scenes, 0.3, seed)
        assert test and not {each.group for each in train} & {each.group for each in test}
        assert len(train) + len(test) == 4 and (train, test) == split(scenes, 0.3, seed)
    assert split(scenes[:2], 0.3) == (scenes[:2], ())
    with pytest.raises(SceneDataError, match="between 0 and 1"):
        split(scenes, 1.0)


def test_plans_come_back_and_others_are_refused(tmp_path: Path) -> None:
    heights = np.array([[0, np.nan], [8, 16]], np.float32)
    plan = Plan(heights, heights + 64, heights > 8, np.array([[0, 1], [2, 0]], np.uint8), ("Armor", "Key"))
    write_plan(tmp_path, plan)
    again = read_plan(tmp_path / "plan.npz")
    assert np.array_equal(again.floor, heights, equal_nan=True) and again.categories == plan.categories
    assert np.array_equal(again.wall, plan.wall) and np.array_equal(again.things, plan.things)
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04nothing")
    np.savez(tmp_path / "y.npz", floor=np.array([object()], dtype=object))
    for name in ("x.npz", "y.npz"):
        with pytest.raises(SceneDataError, match="not a map"):
            read_plan(tmp_path / name)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400) | st.just("1e999"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
PLACES = {
    "cameras.json": [(1,), (1, "Rt"), (1, "K"), (1, "Rt", 0), (1, "Rt", 0, 0), (1, "K", 0, 0)],
    "scene.json": [("box",), ("depth",), ("held_out",), ("group",), ("axes",), ("depth", "scale")],
    "transforms.json": [
        *[(key,) for key in ("frames", "fl_x", "w", "cx", "k1", "camera_model", "depth_unit_scale_factor")],
        *[("frames", 1, key) for key in ("transform_matrix", "file_path", "depth_file_path", "fl_x", "h")],
    ],
}


@pytest.mark.parametrize("file", PLACES)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_anything_may_stand_anywhere(file: str, data: st.DataObject) -> None:
    """Whatever replaces a part of a file: it is read, or refused with a sentence."""
    with tempfile.TemporaryDirectory() as place:
        folder = (write_transforms if file == "transforms.json" else write_gsn)(Path(place) / "a", count=3)
        path = data.draw(st.sampled_from(PLACES[file]))
        stored = json.loads((folder / file).read_text())
        parent = stored
        for key in path[:-1]:
            parent = parent[key]
        parent[path[-1]] = data.draw(junk)
        (folder / file).write_text(json.dumps(stored))
        try:
            loaded = load_scenes(Path(place))
        except SceneDataError as error:
            assert str(error)
        else:
            assert all(scene.cameras.camera_to_world.isfinite().all() for scene in loaded.scenes)
            assert all(math.isfinite(scene.depth_scale) for scene in loaded.scenes)
