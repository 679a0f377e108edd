"""The maps that come with ViZDoom, and how they are split. A split is by map: frames of one map share its rooms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

HOW_TO_INSTALL = "ViZDoom is not installed here; install it with: pip install 'vizdoom==1.3.2'"
# Single-player worlds among the scenarios. cig.wad is not here: it ends the engine while it loads.
_SCENARIOS = ("my_way_home", "deathmatch", "health_gathering_supreme", "deadly_corridor", "defend_the_center")
_TEST = frozenset(
    [f"freedoom2-MAP{number}" for number in (29, 30, 31, 32)] + [f"freedoom1-E4M{number}" for number in (7, 8, 9)]
)


class DoomMissingError(RuntimeError):
    """ViZDoom cannot be used here; the message says how to install it."""

    is_final = True  # for jobs.runner: trying again does not help


@dataclass(frozen=True, slots=True, order=True)
class GameMap:
    """A map. `wad`: file name without suffix, in the vizdoom package (freedoom1, freedoom2) or among its scenarios."""

    wad: str
    name: str

    def __str__(self) -> str:
        return f"{self.wad}-{self.name}"

    @classmethod
    def parse(cls, text: str) -> GameMap:
        """From "freedoom2-MAP01". Raises ValueError for a map that is not known."""
        known = {str(each): each for each in (*campaign_maps(), *scenario_maps())}
        if text not in known:
            raise ValueError(f"There is no map {text!r}; known ones look like freedoom2-MAP01 and freedoom1-E1M1.")
        return known[text]


def campaign_maps() -> tuple[GameMap, ...]:
    """The 68 maps of Freedoom: 36 of phase 1, 32 of phase 2."""
    phase1 = [GameMap("freedoom1", f"E{episode}M{level}") for episode in range(1, 5) for level in range(1, 10)]
    phase2 = [GameMap("freedoom2", f"MAP{level:02}") for level in range(1, 33)]
    return (*phase1, *phase2)


def scenario_maps() -> tuple[GameMap, ...]:
    """Small worlds for single skills; their walls have few textures."""
    return tuple(GameMap(wad, "map01") for wad in _SCENARIOS)


def split_maps(maps: Iterable[GameMap]) -> tuple[list[GameMap], list[GameMap]]:
    """(train, test): MAP29 to MAP32 and E4M7 to E4M9 are for testing, in every experiment."""
    ordered = list(maps)
    return [each for each in ordered if str(each) not in _TEST], [each for each in ordered if str(each) in _TEST]


def package_folder() -> Path:
    """Where vizdoom is installed, without importing it. Raises DoomMissingError."""
    spec = find_spec("vizdoom")
    if spec is None or not spec.submodule_search_locations:
        raise DoomMissingError(HOW_TO_INSTALL)
    return Path(next(iter(spec.submodule_search_locations)))
