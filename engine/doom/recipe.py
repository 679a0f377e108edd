"""What to collect from each map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RESOLUTIONS = ((160, 120), (320, 240), (640, 480))  # those with a measured depth offset


@dataclass(frozen=True, slots=True)
class Recipe:
    """The views of a map. A scene is a box around an anchor; its pictures are taken from `stands` places near the
    anchor, in `headings` directions each. Raises ValueError for what cannot be collected."""

    scenes: int = 30  # of each map; a small map may have fewer
    stands: int = 5
    headings: int = 8
    width: int = 320
    height: int = 240
    reach: tuple[float, float] = (
        128.0,
        256.0,
    )  # units from the anchor to the other stands, half the first between them
    clearance: float = 48.0  # units from walls and things to the camera
    box: tuple[float, float, float] = (1024.0, 1024.0, 256.0)  # units, of a scene along x, y, z
    below: float = 64.0  # units of the box that lie below the anchor's floor
    cell: float = 8.0  # units, of the bird's-eye map
    near_things: tuple[float, float] | None = None  # anchors this far from something that can be seen from there
    monsters: bool = False  # present but frozen
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.width, self.height) not in RESOLUTIONS:
            known = ", ".join(f"{width}x{height}" for width, height in RESOLUTIONS)
            raise ValueError(f"Pictures of {self.width}x{self.height} have no measured depth; use one of {known}.")
        if min(self.scenes, self.stands, self.headings) < 1:
            raise ValueError("A recipe needs at least one scene, one stand and one heading.")
        if not 0 < self.reach[0] < self.reach[1]:
            raise ValueError(f"The reach {self.reach} must be two distances in units, the smaller first.")
        if self.clearance <= 32:
            raise ValueError("Keep the camera more than 32 units from walls: nearer ones have no depth.")

    @property
    def views(self) -> int:
        """Pictures of one scene."""
        return self.stands * self.headings


def recipe_of(fields: Mapping[str, Any]) -> Recipe:
    """From what `dataclasses.asdict` made, also after JSON has turned its tuples into lists."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    return Recipe(**values)
