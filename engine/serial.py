"""Results as plain JSON values: every result of the engine is a dataclass of numbers, words and arrays."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

DIGITS = 6  # significant: below what any figure or table shows, and a quarter of the bytes of full floats


def as_json(value: Any, digits: int = DIGITS) -> Any:
    """Dataclasses and mappings become dicts, arrays lists, NaN and infinities None, floats ``digits`` significant ones.

    Public properties of a dataclass are values too: they are included under their names.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        names += [name for name, member in vars(type(value)).items() if isinstance(member, property)]
        return {name: as_json(getattr(value, name), digits) for name in names if not name.startswith("_")}
    if isinstance(value, Mapping):
        return {str(key): as_json(each, digits) for key, each in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [as_json(each, digits) for each in (value.tolist() if isinstance(value, np.ndarray) else value)]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"{type(value).__name__} has no plain JSON form")
