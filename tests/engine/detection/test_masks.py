from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as reference

from engine.detection.data.masks import Mask, decode_counts, encode_counts, mask_of_polygons, mask_of_rle

shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))


@given(arrays.arrays(bool, shapes))
def test_run_lengths_are_those_of_coco(array: np.ndarray) -> None:
    """Counts, decoded masks and areas against pycocotools."""
    height, width = array.shape
    theirs = reference.encode(np.asfortranarray(array.astype(np.uint8)))
    ours = Mask.of_array(array)
    assert encode_counts(ours.runs) == theirs["counts"].decode()
    read = mask_of_rle({"size": [height, width], "counts": theirs["counts"].decode()}, width, height)
    assert np.array_equal(read.array(height, width), array)
    assert read.area() == float(reference.area(theirs))


@given(st.lists(st.integers(0, 2**40), max_size=20))
def test_counts_round_trip(runs: list[int]) -> None:
    assert decode_counts(encode_counts(runs)) == runs


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        decode_counts(text)
    except ValueError:
        return


def test_a_polygon_has_the_box_and_area_of_its_corners() -> None:
    polygon = mask_of_polygons([[2.0, 3.0, 12.5, 3.0, 12.5, 9.0, 2.0, 9.0]])
    assert polygon.box(20, 20) == (2.0, 3.0, 12.5, 9.0)
    assert polygon.area() == pytest.approx(10.5 * 6)
    points = polygon.outline(20, 20)
    assert np.linalg.norm(np.diff(points, axis=0), axis=1).max() <= 1.0
    drawn = polygon.array(20, 20)
    ys, xs = np.nonzero(drawn)
    assert (xs.min(), ys.min(), xs.max(), ys.max()) == (2, 3, 11, 8), "the pixels whose middle is inside"


def test_a_drawn_polygon_is_close_to_pycocotools() -> None:
    turn = np.linspace(0, 2 * np.pi, 11, endpoint=False)
    radius = np.where(np.arange(11) % 2, 14.0, 30.0)
    star = np.stack((32 + radius * np.cos(turn), 32 + radius * np.sin(turn)), -1).reshape(-1).tolist()
    ours = mask_of_polygons([star]).array(64, 64)
    theirs = reference.decode(reference.frPyObjects([star], 64, 64))[..., 0].astype(bool)
    assert (ours & theirs).sum() / (ours | theirs).sum() > 0.95


@pytest.mark.parametrize(
    "rle",
    [
        {"size": [4, 4], "counts": [3, 4]},  # too few
        {"size": [4, 4], "counts": [-1, 17]},
        {"size": [5, 4], "counts": [16]},
        {"size": [4, 4], "counts": {"a": 1}},
        {"size": [4, 4], "counts": "P" * 30},
        {"counts": [16]},
        "text",
    ],
)
def test_masks_that_do_not_fit_are_refused(rle: object) -> None:
    with pytest.raises(ValueError, match="mask"):
        mask_of_rle(rle, 4, 4)


@pytest.mark.parametrize("polygons", [[], [[1, 2, 3, 4]], [[1, 2, 3, 4, 5]], [[1, 2, 3, 4, 5, float("nan")]], "x", [3]])
def test_polygons_that_are_none_are_refused(polygons: object) -> None:
    with pytest.raises(ValueError, match="polygon"):
        mask_of_polygons(polygons)


def test_a_hostile_polygon_costs_little() -> None:
    far = mask_of_polygons([[0.0, 0.0, 1e300, 0.0, 1e300, 1e300] * 3000])
    assert len(far.outline(8000, 8000)) <= 60_000
