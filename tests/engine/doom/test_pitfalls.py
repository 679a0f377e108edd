"""The ten ways in which ViZDoom spoils data without saying so, in the order of the list in docs/scenes.md."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from engine.doom import DoomScene, GameError, GameMap, Recipe, campaign_maps, collect, collect_scenes, scenario_maps
from engine.doom.frames import frame_of
from engine.doom.game import Game
from engine.doom.maps import package_folder
from engine.doom.process import GameProcess
from tests.engine.doom.geometry import segment_distances, world_points

MAP01, E1M1 = GameMap("freedoom2", "MAP01"), GameMap("freedoom1", "E1M1")
ONE = Recipe(scenes=1, stands=1, headings=2, width=160, height=120)


def test_1_settings_of_the_working_folder_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("vizdoom")
    here = list(collect([MAP01], ONE))
    settings = "[GlobalSettings]\nfov=30\nvid_gamma=3\n[Doom.ConsoleVariables]\nr_drawplayersprites=true\nvid_gamma=3\n"
    (tmp_path / "_vizdoom.ini").write_text(settings)
    monkeypatch.chdir(tmp_path)
    there = list(collect([MAP01], ONE))
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(here, there, strict=True))
    assert [each.name for each in tmp_path.iterdir()] == ["_vizdoom.ini"]
    assert (tmp_path / "_vizdoom.ini").read_text() == settings


def test_2_a_revealed_secret_is_not_written_into_the_picture(play: Callable[..., Game]) -> None:
    game = play(MAP01)
    x, y = place_in_a_secret_sector(game)
    assert game.stand(x, y)
    first = game.look(90)
    game._idle(350)  # longer than a message stays
    later = game.look(90)
    assert (first.counts == later.counts).mean() > 0.999
    middle = (slice(90, 130), slice(60, 260))  # where the words stand
    assert np.abs(first.rgb[middle].astype(int) - later.rgb[middle]).mean() < 1


def test_2_the_secret_is_a_real_one(play: Callable[..., Game], monkeypatch: pytest.MonkeyPatch) -> None:
    """With messages left on, the same place shows one: so the test above can fail."""
    import vizdoom

    class Talkative(vizdoom.DoomGame):
        def add_game_args(self, args: str) -> None:
            super().add_game_args(args.replace("+cl_showsecretmessage 0", "+cl_showsecretmessage 1"))

        def set_render_messages(self, _: bool) -> None:
            super().set_render_messages(True)

    monkeypatch.setattr(vizdoom, "DoomGame", Talkative)
    game = play(MAP01)
    x, y = place_in_a_secret_sector(game)
    assert game.stand(x, y)
    first = game.look(90)
    game._idle(350)
    middle = (slice(90, 130), slice(60, 260))
    assert np.abs(first.rgb[middle].astype(int) - game.look(90).rgb[middle]).mean() > 1


def test_3_sky_and_too_near_surfaces_have_no_depth(scenes: list[DoomScene]) -> None:
    frames = [frame for scene in scenes for frame in scene.frames]
    assert max(frame.sky.mean() for frame in frames) > 0.2  # the second map is outdoors
    for frame in frames:
        assert not (frame.depth[~frame.valid]).any()
        assert (frame.depth[frame.valid] >= 8.99 + 2 * 100 / 14 - 1e-3).all()
        assert ((frame.counts <= 1) | (frame.counts == 193)).mean() <= 0.02


def test_3_the_camera_keeps_away_from_walls(scenes: list[DoomScene], play: Callable[..., Game]) -> None:
    walls = {MAP01: play(MAP01).world.walls, E1M1: play(E1M1).world.walls}
    for scene in scenes:
        eyes = np.array([frame.camera_to_world[:2, 3] for frame in scene.frames])
        assert min(segment_distances(eyes, wall).min() for wall in walls[scene.game_map]) > 32


def test_4_the_camera_is_inside_of_no_thing(scenes: list[DoomScene]) -> None:
    for scene in scenes:
        things = np.array([(each.x, each.y) for each in scene.things])
        for frame in scene.frames:
            assert np.linalg.norm(things - frame.camera_to_world[:2, 3], axis=1).min() >= 48


def test_5_things_are_masked(scenes: list[DoomScene]) -> None:
    frames = [frame for scene in scenes for frame in scene.frames]
    seen = [(frame, each) for frame in frames for each in frame.instances()]
    assert len(seen) > 20
    for frame, each in seen:
        assert (frame.things & each.mask).sum() == each.mask.sum() >= 16
        x1, y1, x2, y2 = each.box
        assert each.mask[y1:y2, x1:x2].sum() == each.mask.sum()
        assert each.name != "DoomPlayer"
        assert not (each.mask & np.isin(frame.labels, [0, 1])).any()


def test_6_a_game_that_dies_takes_nothing_with_it() -> None:
    pytest.importorskip("vizdoom")
    failed: list[GameError] = []
    frames = list(collect([GameMap("cig", "map01"), MAP01], ONE, processes=2, skip=failed.append))
    assert [error.game_map.wad for error in failed] == ["cig"]
    assert {frame.game_map for frame in frames} == {MAP01} and len(frames) == 2
    with pytest.raises(GameError, match=r"cig-map01: the game (was killed|ended)"):
        list(collect([GameMap("cig", "map01")], ONE))


def test_6_a_game_that_hangs_is_ended() -> None:
    pytest.importorskip("vizdoom")
    with pytest.raises(GameError, match=r"said nothing for 0\.001 s"):
        list(collect_scenes([MAP01], ONE, timeout_s=0.001))


def test_6_no_process_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    psutil = pytest.importorskip("psutil")
    pytest.importorskip("vizdoom")
    groups: list[int] = []
    start = GameProcess.__init__

    def remember(self: GameProcess, *args: object) -> None:
        start(self, *args)  # type: ignore[arg-type]
        groups.append(self._process.pid)

    monkeypatch.setattr(GameProcess, "__init__", remember)
    frames = collect([MAP01, E1M1], Recipe(scenes=3), processes=2)
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert len(groups) == 2
    alive = [each for each in psutil.process_iter(["pid"]) if _group(each.pid) in groups]
    assert not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]


def test_6_a_killed_parent_leaves_no_game() -> None:
    psutil = pytest.importorskip("psutil")
    pytest.importorskip("vizdoom")
    script = (
        "from engine.doom import *; import time\n"
        "frames = collect([GameMap('freedoom2', 'MAP01')], Recipe(scenes=30)); next(frames)\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == b"ready\n"
        family = psutil.Process(parent.pid).children(recursive=True)
        parent.kill()
    assert len(family) >= 2  # the game's process and its engine
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive


def test_7_the_camera_has_settled(scenes: list[DoomScene], play: Callable[..., Game]) -> None:
    for scene in scenes:
        view = scene.birds_eye
        for frame in scene.frames:
            x, y, z = frame.camera_to_world[:3, 3]
            row, column = int((y - view.origin[1]) // view.cell), int((x - view.origin[0]) // view.cell)
            around = view.floor[row - 2 : row + 3, column - 2 : column + 3]
            assert np.isclose(z - 41, around, atol=0.01).any()
    game = play(MAP01)
    assert game.stand(64, -128)
    first, second = game.look(0), game.look(0)
    assert first.pose["z"] == second.pose["z"] and np.array_equal(first.counts, second.counts)


def test_8_the_maps_that_are_used_are_the_rich_ones() -> None:
    assert len(campaign_maps()) == 68 and not set(campaign_maps()) & set(scenario_maps())


def test_8_the_scenarios_are_poor_ones(scenes: list[DoomScene]) -> None:
    """my_way_home has nearly one texture, and so fewer colours than as many pictures of a Freedoom map."""
    poor = colours(frame.rgb for frame in collect([GameMap("my_way_home", "map01")], Recipe(scenes=2, stands=2)))
    for rich in (MAP01, E1M1):
        pictures = (frame.rgb for scene in scenes if scene.game_map == rich for frame in scene.frames)
        assert colours(pictures) > 1.2 * poor


def test_9_the_field_of_view_is_read_with_every_frame(play: Callable[..., Game]) -> None:
    game = play(MAP01)
    assert game.look(0).pose["fov"] == 90
    game._game.send_game_command("fov 60")
    drifting = [game.look(0).pose["fov"] for _ in range(2)]
    assert 60 < drifting[1] < drifting[0] < 90
    shot = game.look(0)
    fields = {"scene": 0, "stand": 0, "view": 0, "pose": dict(shot.pose), "objects": []}
    frame = frame_of(MAP01, fields, {"rgb": shot.rgb, "counts": shot.counts, "labels": shot.labels})
    assert frame.intrinsics[0, 0] == pytest.approx(160 / np.tan(np.radians(shot.pose["fov"] / 2)))


def test_10_maps_from_above_have_the_stated_scale(scenes: list[DoomScene]) -> None:
    """Points that the camera measures lie between floor and ceiling of their cell, in every map."""
    for scene in scenes:
        view = scene.birds_eye
        assert view.cell == 8 and view.floor.shape == (128, 128)
        for frame in scene.frames:
            x, y, z = world_points(frame)
            column, row = ((x - view.origin[0]) // 8).astype(int), ((y - view.origin[1]) // 8).astype(int)
            inner = (column > 0) & (column < 127) & (row > 0) & (row < 127)
            column, row, z = column[inner], row[inner], z[inner]
            fits = np.zeros(len(z), bool)
            for j in (-1, 0, 1):
                for i in (-1, 0, 1):
                    floor, ceiling = view.floor[row + j, column + i], view.ceiling[row + j, column + i]
                    fits |= (z >= floor - 12) & (z <= ceiling + 12)
            assert fits.mean() > 0.99


def place_in_a_secret_sector(game: Game) -> tuple[int, int]:
    """The sectors lump of the map file says which are secret (special 9); records of 26 bytes, one a sector."""
    data = (package_folder() / "freedoom2.wad").read_bytes()
    count, directory = struct.unpack_from("<ii", data, 4)
    lumps = [struct.unpack_from("<ii8s", data, directory + 16 * n) for n in range(count)]
    names = [name.rstrip(b"\0") for _, _, name in lumps]
    at, size, _ = lumps[names.index(b"SECTORS", names.index(b"MAP01"))]
    special = [struct.unpack_from("<h", data, at + 26 * n + 22)[0] for n in range(size // 26)]
    places = game.world.places(16, 33, np.zeros((0, 2)))
    for number in np.flatnonzero(np.array(special) == 9):
        sector = game.world.sectors[number]
        (x1, y1), (x2, y2) = sector.lines.reshape(-1, 2).min(0), sector.lines.reshape(-1, 2).max(0)
        inside = places[(places > (x1, y1)).all(1) & (places < (x2, y2)).all(1)]
        if len(inside):
            return int(inside[0][0]), int(inside[0][1])
    raise AssertionError("the map has no secret that can be stood in")


def colours(pictures: Iterable[np.ndarray]) -> int:
    """Different colours, at 4 bits each."""
    codes = np.concatenate([(each >> 4).reshape(-1, 3).astype(np.int64) @ (256, 16, 1) for each in pictures])
    return len(np.unique(codes))


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0
