from __future__ import annotations

import io
import sys

import numpy as np
import pytest

from engine.doom import (
    DoomMissingError,
    DoomScene,
    GameMap,
    Recipe,
    campaign_maps,
    collect,
    collect_scenes,
    split_maps,
)
from engine.doom.wire import receive, send
from tests.engine.doom.geometry import depth_errors

MAP01, E1M1 = GameMap("freedoom2", "MAP01"), GameMap("freedoom1", "E1M1")


def test_it_collects_what_the_recipe_asks_for(scenes: list[DoomScene]) -> None:
    assert [scene.name for scene in scenes] == [f"{m}-00{n}" for m in (MAP01, E1M1) for n in (0, 1)]
    for scene in scenes:
        assert [(frame.stand, frame.view) for frame in scene.frames] == [(v // 8, v) for v in range(16)]
        for frame in scene.frames:
            assert frame.rgb.shape == (240, 320, 3) and frame.counts.shape == frame.labels.shape == (240, 320)
            assert np.allclose(frame.camera_to_world[:3, :3] @ frame.camera_to_world[:3, :3].T, np.eye(3))
        stands = np.array([scene.frames[0].camera_to_world[:2, 3], scene.frames[8].camera_to_world[:2, 3]])
        assert np.allclose(stands[0], scene.anchor[:2])
        assert 128 <= np.linalg.norm(stands[1] - stands[0]) <= 256


def test_stands_are_apart_and_see_the_anchor() -> None:
    pytest.importorskip("vizdoom")
    for scene in collect_scenes([MAP01], Recipe(scenes=3, stands=5, headings=1, width=160, height=120)):
        places = np.array([frame.camera_to_world[:2, 3] for frame in scene.frames])
        apart = np.linalg.norm(places[:, None] - places, axis=2)[np.triu_indices(5, 1)]
        assert apart.min() >= 64
        assert (np.linalg.norm(places[1:] - places[0], axis=1) <= 256).all()


def test_headings_are_spread_evenly(scenes: list[DoomScene]) -> None:
    for scene in scenes:
        forward = np.array([frame.camera_to_world[:2, 2] for frame in scene.frames[:8]])
        turns = (forward * np.roll(forward, -1, axis=0)).sum(1)
        assert np.allclose(turns, np.cos(np.pi / 4), atol=1e-3)


def test_points_of_one_view_are_found_in_another(scenes: list[DoomScene]) -> None:
    """Poses, focal lengths and depth agree with each other: eight views at one place, eight at another.

    Points that something nearer hides are no contradiction. Those that disagree lie on floors seen at a grazing angle,
    where half a count of depth is several pixels.
    """
    for scene in scenes:
        errors = np.concatenate([depth_errors(a, b, 256) for a in scene.frames[:8] for b in scene.frames[8:]])
        seen = errors[errors > -10]
        assert len(seen) > 50_000
        assert (np.abs(seen) < 10).mean() > 0.93
        assert np.median(np.abs(seen)) < 4  # half a count is 3.6


def test_the_seed_decides(scenes: list[DoomScene]) -> None:
    recipe = Recipe(scenes=1, stands=1, headings=2, width=160, height=120)
    first, again = list(collect([MAP01], recipe)), list(collect([E1M1, MAP01], recipe, processes=2))[2:]
    for a, b in zip(first, again, strict=True):
        assert a.name == b.name and np.array_equal(a.camera_to_world, b.camera_to_world)
        assert np.array_equal(a.rgb, b.rgb) and np.array_equal(a.counts, b.counts)
        assert np.array_equal(a.labels, b.labels)
    other = next(iter(collect([MAP01], Recipe(scenes=1, stands=1, headings=2, width=160, height=120, seed=1))))
    assert not np.array_equal(first[0].camera_to_world, other.camera_to_world)


def test_monsters_stand_still_near_the_camera() -> None:
    pytest.importorskip("vizdoom")
    recipe = Recipe(scenes=6, stands=1, headings=4, monsters=True, near_things=(80, 200))
    seen = [each for frame in collect([GameMap("freedoom2", "MAP05")], recipe) for each in frame.instances()]
    assert "Monster" in {each.category for each in seen}
    alone = next(collect_scenes([GameMap("freedoom2", "MAP05")], Recipe(scenes=1, stands=1)))
    assert not [each for each in alone.things if each.category == "Monster"]


def test_no_map_is_in_both_parts() -> None:
    train, test = split_maps(campaign_maps())
    assert not set(train) & set(test) and set(train) | set(test) == set(campaign_maps())
    assert {str(each) for each in test} >= {f"freedoom2-MAP{n}" for n in (29, 30, 31, 32)}
    assert split_maps(reversed(campaign_maps()))[1] == list(reversed(test))


def test_without_vizdoom_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vizdoom", None)
    with pytest.raises(DoomMissingError, match="pip install 'vizdoom"):
        next(collect([MAP01], Recipe()))


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"width": 300}, "depth"),
        ({"scenes": 0}, "at least one"),
        ({"reach": (5, 1)}, "reach"),
        ({"clearance": 20}, "32 units"),
    ],
)
def test_it_refuses_what_cannot_be_collected(fields: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Recipe(**fields)  # type: ignore[arg-type]


def test_it_refuses_unknown_maps() -> None:
    assert GameMap.parse("freedoom1-E1M1") == E1M1
    with pytest.raises(ValueError, match="no map 'doom2-MAP01'"):
        GameMap.parse("doom2-MAP01")


def test_messages_survive_the_pipe_and_half_ones_are_noticed() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    stream = io.BytesIO()
    send(stream, "frame", {"a": [1, "x"]}, {"depth": array, "wall": array > 3})
    whole = stream.getvalue()
    kind, fields, arrays = receive(io.BytesIO(whole)) or ("", {}, {})
    assert kind == "frame" and fields == {"a": [1, "x"]}
    assert np.array_equal(arrays["depth"], array) and np.array_equal(arrays["wall"], array > 3)
    assert all(receive(io.BytesIO(whole[:cut])) is None for cut in range(len(whole)))
