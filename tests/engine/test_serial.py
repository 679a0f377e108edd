from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest

from engine.coverage import coverage_curve
from engine.serial import as_json


@dataclass(frozen=True, slots=True)
class Pair:
    low: float
    high: float

    @property
    def width(self) -> float:
        return self.high - self.low


def test_arrays_numbers_and_properties_become_plain_values() -> None:
    assert as_json(Pair(np.float64(1), 3.25)) == {"low": 1.0, "high": 3.25, "width": 2.25}
    assert as_json({"a": np.array([1, 2]), "b": (True, None, "x")}) == {"a": [1, 2], "b": [True, None, "x"]}
    assert as_json(1 / 3) == 0.333333
    assert as_json([float("nan"), float("inf")]) == [None, None]


def test_a_curve_survives_strict_json() -> None:
    text = json.dumps(as_json(coverage_curve([4, 8], [1, 2], [1, 4, 8, 9])), allow_nan=False)
    assert json.loads(text)["coverage"][-1] is None


def test_it_refuses_what_has_no_plain_form() -> None:
    with pytest.raises(TypeError, match="no plain JSON form"):
        as_json(object())
