"""COLMAP's files, written here by the letters of its documentation, with rotations by scipy; and masks."""

from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial.transform import Rotation

from engine.scenes.data import PackSettings, SceneDataError, layout_of, load_scenes, pack_scenes, read_views
from tests.engine.scenes.data.folders import DISTANCE, FOCAL, HEIGHT, WIDTH, picture, row, write_transforms

PINHOLE = (1, "PINHOLE", [FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2])


def images(count: int = 4) -> list[tuple[int, list[float], int, str]]:
    """(id, qw qx qy qz tx ty tz, camera, name) of the row of cameras."""
    found = []
    for number, pose in enumerate(row(count).camera_to_world.numpy()):
        rotation = Rotation.from_matrix(pose[:3, :3]).inv()
        x, y, z, w = rotation.as_quat()
        found.append((number + 5, [w, x, y, z, *(-rotation.apply(pose[:3, 3]))], 7, f"frame {number}.png"))
    return found


def points() -> np.ndarray:
    """On the wall, and one far out."""
    x, z = np.meshgrid(np.linspace(-4, 6, 12), np.linspace(-2, 2, 9))
    wall = np.stack([x.ravel(), np.full(x.size, DISTANCE), z.ravel()], 1)
    return np.concatenate([wall, [[900.0, 900, 900]]])


def write(
    folder: Path, form: str, *, lens: tuple[int, str, list[float]] = PINHOLE, model: str = "sparse/0", **change: Any
) -> Path:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for _, _, _, name in images():
        picture(row().centres[int(name[6]), 0].item()).save(folder / "images" / name)
    place = folder / model
    place.mkdir(parents=True, exist_ok=True)
    listed, size = change.get("images", images()), change.get("size", (WIDTH, HEIGHT))
    if form == "txt":
        (place / "cameras.txt").write_text(
            "# Camera list\n# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]\n"
            + f"7 {lens[1]} {size[0]} {size[1]} {' '.join(map(repr, lens[2]))}\n"
        )
        rows = [
            f"{number} {' '.join(map(repr, map(float, pose)))} {camera} {name}\n"
            + ("1.5 2.5 -1 3.5 4.5 2" if number % 2 else "")
            for number, pose, camera, name in listed
        ]
        (place / "images.txt").write_text("# Image list\n" + "\n".join(rows) + "\n")
        (place / "points3D.txt").write_text(
            "# 3D point list\n"
            + "".join(f"{n} {x!r} {y!r} {z!r} 1 2 3 0.5 1 0 2 0\n" for n, (x, y, z) in enumerate(points().tolist()))
        )
        return folder
    (place / "cameras.bin").write_bytes(
        struct.pack("<QIiQQ", 1, 7, lens[0], *size) + struct.pack(f"<{len(lens[2])}d", *lens[2])
    )
    raw = struct.pack("<Q", len(listed))
    for number, pose, camera, name in listed:
        raw += struct.pack("<I7dI", number, *pose, camera) + name.encode() + b"\0"
        raw += struct.pack("<Q", 2) + struct.pack("<ddq", 1.5, 2.5, -1) + struct.pack("<ddq", 3.5, 4.5, 2)
    (place / "images.bin").write_bytes(raw)
    raw = struct.pack("<Q", len(points()))
    for number, point in enumerate(points()):
        raw += struct.pack("<Q3d3BdQ", number, *point, 1, 2, 3, 0.5, 2) + struct.pack("<4i", 5, 0, 6, 0)
    (place / "points3D.bin").write_bytes(raw)
    return folder


@pytest.mark.parametrize("form", ["bin", "txt"])
def test_a_model_is_a_scene(form: str, tmp_path: Path) -> None:
    loaded = load_scenes(write(tmp_path / "set" / "train_hall", form))
    assert loaded.format == "colmap" and not loaded.report.problems
    (scene,) = loaded.scenes
    expected = row()
    assert [each.image for each in scene.pictures] == [f"images/frame {n}.png" for n in range(4)]
    torch.testing.assert_close(scene.cameras.camera_to_world, expected.camera_to_world)
    torch.testing.assert_close(scene.cameras.intrinsics, expected.intrinsics)
    # The box holds the wall and the cameras, and not the stray point.
    assert scene.box is not None
    (x, y, z), (width, length, height) = scene.box
    assert (x, y) == pytest.approx((-4, 0), abs=0.2) and (width, length) == pytest.approx((10, 10), abs=0.4)
    assert z == pytest.approx(-2, abs=0.1) and height == pytest.approx(4, abs=0.2)
    views = read_views(scene, layout_of(scene, (8, 16, 16)), [0, 3], size=16, stride=4)
    assert views.images.shape == (2, 3, 16, 16) and not views.valid.any()


def test_it_is_the_scene_that_nerfstudio_makes_of_it(tmp_path: Path) -> None:
    (first,) = load_scenes(write(tmp_path / "a", "bin")).scenes
    (second,) = load_scenes(write_transforms(tmp_path / "b")).scenes
    torch.testing.assert_close(first.cameras.camera_to_world, second.cameras.camera_to_world)
    torch.testing.assert_close(first.cameras.intrinsics, second.cameras.intrinsics)


def test_parts_that_were_not_connected_are_scenes_of_their_own(tmp_path: Path) -> None:
    write(tmp_path / "set", "bin")
    loaded = load_scenes(write(tmp_path / "set", "txt", model="sparse/1"))
    assert [scene.name for scene in loaded.scenes] == ["sparse/0", "sparse/1"]
    train, test = loaded.train_test()
    assert len(train) == 2 and not test  # of one place: not torn apart
    assert {scene.group for scene in train} == {"."}


def test_pictures_may_stand_beside_the_model(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", "txt", model=".")
    for image in (folder / "images").iterdir():
        image.rename(folder / image.name)
    (folder / "images").rmdir()
    (scene,) = load_scenes(folder).scenes
    assert scene.pictures[0].image == "frame 0.png"


@pytest.mark.parametrize(
    ("lens", "count"),
    [
        ((0, "SIMPLE_PINHOLE", [FOCAL, 20, 15]), 0),
        ((2, "SIMPLE_RADIAL", [FOCAL, 20, 15, 0.0]), 0),
        ((2, "SIMPLE_RADIAL", [FOCAL, 20, 15, -0.02]), 1),
        ((3, "RADIAL", [FOCAL, 20, 15, 0.0, 0.01]), 1),
        ((4, "OPENCV", [FOCAL, FOCAL, 20, 15, 0, 0, 0, 0.01]), 1),
        ((6, "FULL_OPENCV", [FOCAL, FOCAL, 20, 15, *[0.0] * 8]), 0),
    ],
)
@pytest.mark.parametrize("form", ["bin", "txt"])
def test_lenses_that_are_nearly_pinholes(form: str, lens: Any, count: int, tmp_path: Path) -> None:
    loaded = load_scenes(write(tmp_path, form, lens=lens))
    assert loaded.report.counts["lens_distortion"] == count
    torch.testing.assert_close(loaded.scenes[0].cameras.intrinsics, row().intrinsics)
    if count:
        assert lens[1] in loaded.report.problems[0].message


@pytest.mark.parametrize(
    ("lens", "word"),
    [
        ((5, "OPENCV_FISHEYE", [1.0] * 8), "OPENCV_FISHEYE"),
        ((7, "FOV", [1.0] * 5), "FOV"),
        ((8, "SIMPLE_RADIAL_FISHEYE", [1.0] * 4), "SIMPLE_RADIAL_FISHEYE"),
        ((9, "RADIAL_FISHEYE", [1.0] * 5), "RADIAL_FISHEYE"),
        ((10, "THIN_PRISM_FISHEYE", [1.0] * 12), "THIN_PRISM_FISHEYE"),
        ((99, "UNHEARD_OF", [1.0] * 4), "99|UNHEARD_OF"),
    ],
)
@pytest.mark.parametrize("form", ["bin", "txt"])
def test_other_lenses_are_refused_by_name(form: str, lens: Any, word: str, tmp_path: Path) -> None:
    with pytest.raises(SceneDataError, match=f"lens distortion.*{word}.*image_undistorter"):
        load_scenes(write(tmp_path, form, lens=lens))


@pytest.mark.parametrize("form", ["bin", "txt"])
def test_what_is_wrong_is_named(form: str, tmp_path: Path) -> None:
    listed = images()
    listed[1] = (listed[1][0], [0.0] * 7, 7, listed[1][3])  # a quaternion of length 0
    listed[2] = (*listed[2][:3], "gone.png")
    loaded = load_scenes(write(tmp_path / "a", form, images=listed))
    assert loaded.report.counts == {"bad_pose": 1, "missing_image": 1, "unposed_image": 1}
    assert len(loaded.scenes[0]) == 2
    with pytest.raises(SceneDataError, match="40 x 31"):
        load_scenes(write(tmp_path / "b", form, size=(40, 31)))
    with pytest.raises(SceneDataError, match="camera 8, which is not there"):
        load_scenes(write(tmp_path / "c", form, images=[(1, images()[0][1], 8, "frame 0.png")]))
    with pytest.raises(SceneDataError, match="no images"):
        load_scenes(write(tmp_path / "d", form, images=[]))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["bin", "txt"]), st.sampled_from(["cameras", "images", "points3D"]), st.data())
def test_any_bytes_are_refused_or_read(tmp_path: Path, form: str, file: str, data: st.DataObject) -> None:
    folder = write(tmp_path, form)
    for other in ({"bin", "txt"} - {form}).pop().split():
        for each in (folder / "sparse/0").glob(f"*.{other}"):
            each.unlink()
    path = folder / "sparse/0" / f"{file}.{form}"
    raw = bytearray(path.read_bytes())
    start = data.draw(st.integers(0, len(raw)))
    kept = raw[:start] + data.draw(st.binary(max_size=9)) + raw[start + data.draw(st.integers(0, 9)) :]
    path.write_bytes(kept[: data.draw(st.integers(len(kept) // 2, len(kept)))])
    with contextlib.suppress(SceneDataError):
        load_scenes(folder)


def _mask(path: Path) -> None:
    """Black on the left half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.full((HEIGHT, WIDTH), 255, np.uint8)
    values[:, : WIDTH // 2] = 0
    Image.fromarray(values).save(path)


def test_masks_of_colmap_and_of_nerfstudio(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", "bin")
    for number in range(3):
        _mask(folder / "masks" / f"frame {number}.png.png")
    (scene,) = load_scenes(folder).scenes
    assert [each.ignored for each in scene.pictures] == [*(f"masks/frame {n}.png.png" for n in range(3)), None]
    folder = write_transforms(tmp_path / "b")
    stored = json.loads((folder / "transforms.json").read_text())
    for number, frame in enumerate(stored["frames"]):
        _mask(folder / "masks" / f"{number}.png")
        Image.fromarray(np.full((HEIGHT, WIDTH), 10_000, np.uint16)).save(folder / "masks" / f"{number}_depth.png")
        frame |= {"mask_path": f"masks/{number}.png", "depth_file_path": f"masks/{number}_depth.png"}
    (folder / "transforms.json").write_text(json.dumps(stored))
    loaded = load_scenes(folder)
    assert not loaded.report.problems
    views = read_views(loaded.scenes[0], layout_of(loaded.scenes[0], (8, 16, 16)), [0], size=16, stride=2)
    assert not views.valid[0, :, :4].any() and views.valid[0, :, 4:].all()
    assert views.ignored[0, :, :4].all() and not views.ignored[0, :, 4:].any() and not views.things.any()
    scenes = pack_scenes(loaded.scenes, PackSettings((8, 16, 16), 16, 2), tmp_path / "packed").tensors(cameras=1)
    assert scenes.ignored is not None and torch.equal(scenes.ignored[0, 0], views.ignored[0])
    (plain,) = load_scenes(write_transforms(tmp_path / "c")).scenes
    without = pack_scenes([plain], PackSettings((8, 16, 16), 16, 2), tmp_path / "packed").tensors(cameras=1)
    assert without.ignored is None


@pytest.mark.parametrize("file", ["masks/none.png", "../../etc/passwd", "masks/small.png"])
def test_a_mask_that_cannot_be_used_is_named(file: str, tmp_path: Path) -> None:
    folder = write_transforms(tmp_path / "scene")
    (folder / "masks").mkdir()
    Image.new("L", (8, 8)).save(folder / "masks" / "small.png")
    stored = json.loads((folder / "transforms.json").read_text())
    stored["frames"][1]["mask_path"] = file
    (folder / "transforms.json").write_text(json.dumps(stored))
    loaded = load_scenes(folder)
    assert loaded.report.counts == {"bad_depth": 1} and "mask" in loaded.report.problems[0].message
    assert loaded.scenes[0].pictures[1].ignored is None
