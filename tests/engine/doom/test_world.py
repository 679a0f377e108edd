from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.doom.world import World, world_of
from tests.engine.doom.geometry import segment_distances


def room(x1: float, y1: float, x2: float, y2: float, blocking: bool = True) -> list[tuple[float, ...]]:
    corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
    return [(*a, *b, blocking) for a, b in zip(corners, corners[1:] + corners[:1], strict=True)]


def two_rooms(step: float = 8) -> World:
    """Two squares of 256 units side by side with an open border at x = 256; the right floor is higher by `step`."""
    left, right = room(0, 0, 256, 256), room(256, 0, 512, 256)
    left[1] = (*left[1][:4], False)
    right[3] = (*right[3][:4], False)
    return world_of([(0, 128, left), (step, 128, right)])  # type: ignore[list-item]


def test_floors_are_where_their_sectors_are() -> None:
    plan = two_rooms().birds_eye((-64, -64), (48, 80), 8)
    assert np.isnan(plan.floor[:8]).all() and np.isnan(plan.floor[:, :8]).all()  # outside, south and west
    assert (plan.floor[8:40, 8:40] == 0).all() and (plan.floor[8:40, 40:72] == 8).all()
    assert np.isnan(plan.floor[40:]).all() and np.isnan(plan.floor[:, 72:]).all()
    assert (plan.inside == ~np.isnan(plan.ceiling)).all()


def test_a_step_that_can_be_climbed_is_no_wall() -> None:
    low, high = two_rooms(24), two_rooms(25)
    assert len(high.walls) == len(low.walls) + 1 == 7
    eye, points = np.array([128.0, 128]), np.array([[300.0, 128], [200, 200]])
    assert low.sees(eye, points).tolist() == [True, True]
    assert high.sees(eye, points).tolist() == [False, True]


def test_a_line_within_one_sector_is_no_border() -> None:
    """A passable line that only one sector lists has that sector on both sides."""
    lines = [*room(0, 0, 256, 256), (128.0, 0.0, 128.0, 256.0, False)]
    plan = world_of([(0, 128, lines)]).birds_eye((0, 0), (32, 32), 8)  # type: ignore[list-item]
    assert plan.inside.all() and not plan.wall[2:30, 2:30].any()


def test_places_keep_their_distance() -> None:
    world, thing = two_rooms(), np.array([[128.0, 128.0]])
    places = world.places(16, 48, thing)
    assert len(places) > 50
    assert min(segment_distances(places, wall).min() for wall in world.walls) >= 48
    assert np.linalg.norm(places - thing, axis=1).min() >= 48
    assert len(world.places(16, 129, thing)) == 0


def test_nobody_stands_where_the_ceiling_is_low() -> None:
    assert len(world_of([(0, 55, room(0, 0, 256, 256))]).places(16, 40, np.zeros((0, 2)))) == 0  # type: ignore[list-item]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=3, max_size=8, unique=True))
def test_rasterising_is_the_even_odd_rule(corners: list[tuple[int, int]]) -> None:
    """Any closed line, crossing itself or not, against a ray cast from every cell centre by itself."""
    lines = [(*a, *b, True) for a, b in zip(corners, corners[1:] + corners[:1], strict=True)]
    plan = world_of([(0.0, 64.0, lines)]).birds_eye((-3, -3), (24, 24), 2)  # type: ignore[list-item]
    for j in range(24):
        for i in range(24):
            x, y = -3 + (i + 0.5) * 2, -3 + (j + 0.5) * 2
            crossings = 0
            for x1, y1, x2, y2, _ in lines:
                if (y1 <= y) != (y2 <= y):
                    at = x1 + (y - y1) / (y2 - y1) * (x2 - x1)
                    crossings += at <= x
            assert plan.inside[j, i] == (crossings % 2 == 1)
