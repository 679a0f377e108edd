"""One running game: set up for clean, still, headless pictures, and a camera that can be put anywhere.

To be used in a process of its own (see engine.doom.worker): an error in the engine ends the whole process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.doom.calibration import WRAPPED_COUNT
from engine.doom.maps import GameMap, campaign_maps, package_folder
from engine.doom.recipe import Recipe
from engine.doom.world import Thing, World, world_of

_HIDDEN = ("hud", "weapon", "crosshair", "decals", "particles", "effects_sprites", "messages", "corpses")
_POSE = {
    "x": "POSITION_X",
    "y": "POSITION_Y",
    "z": "POSITION_Z",
    "angle": "ANGLE",
    "pitch": "PITCH",
    "roll": "ROLL",
    "fov": "FOV",
}
_START_TICS = 10  # input is ignored in the first eight
_SETTLE_TICS = 40  # longest fall that is waited for
_MOST_JUNK = 0.02  # share of pixels without a usable depth


@dataclass(frozen=True, slots=True)
class Shot:
    """What one tic shows. rgb (H, W, 3), counts and labels (H, W), all uint8; pose: see `Game.look`."""

    rgb: npt.NDArray[np.uint8]
    counts: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    pose: Mapping[str, float]
    objects: tuple[Mapping[str, Any], ...]

    @property
    def is_junk(self) -> bool:
        """Whether a surface is nearer than the depth buffer can tell: counts of 0 and 1, or wrapped ones."""
        junk = (self.counts <= 1) | (self.counts == WRAPPED_COUNT)
        return float(junk.mean()) > _MOST_JUNK


class Game:
    """A map loaded and ready. The working folder must be an empty one: the engine reads settings from it."""

    def __init__(self, game_map: GameMap, recipe: Recipe) -> None:
        package = package_folder()
        import vizdoom

        self._game = game = vizdoom.DoomGame()
        if game_map in campaign_maps():
            game.set_doom_game_path(str(package / f"{game_map.wad}.wad"))
        else:
            game.set_doom_game_path(str(package / "freedoom2.wad"))
            game.set_doom_scenario_path(str(package / "scenarios" / f"{game_map.wad}.wad"))
        game.set_doom_map(game_map.name)
        game.set_doom_config_path(str(Path.cwd() / "engine.ini"))
        game.set_screen_resolution(getattr(vizdoom.ScreenResolution, f"RES_{recipe.width}X{recipe.height}"))
        game.set_screen_format(vizdoom.ScreenFormat.RGB24)
        game.set_depth_buffer_enabled(True)
        game.set_labels_buffer_enabled(True)
        for part in _HIDDEN:
            getattr(game, f"set_render_{part}")(False)
        game.set_render_screen_flashes(False)
        game.set_window_visible(False)
        game.set_sound_enabled(False)
        game.set_console_enabled(False)
        game.set_mode(vizdoom.Mode.PLAYER)
        game.set_episode_timeout(0)
        game.set_available_buttons([vizdoom.Button.TURN_LEFT_RIGHT_DELTA])
        self._variables = {
            name: getattr(vizdoom.GameVariable, f"CAMERA_{variable}") for name, variable in _POSE.items()
        }
        game.set_available_game_variables(list(self._variables.values()))
        game.set_seed(recipe.seed % 2**31)
        monsters = "" if recipe.monsters else "-nomonsters "
        # "A SECRET IS REVEALED!" is drawn into picture and depth; some versions do so even with messages off.
        game.add_game_args(f"{monsters}+movebob 0 +cl_showsecretmessage 0 +sv_cheats 1")
        self.world, self.things = self._read_plan()
        self._start()

    def _read_plan(self) -> tuple[World, tuple[Thing, ...]]:
        """The map's sectors and things. Listing them takes longer than drawing, and can be switched off only between
        two starts: so one start is for reading."""
        self._game.set_objects_info_enabled(True)
        self._game.set_sectors_info_enabled(True)
        self._start()
        state: Any = self._game.get_state()
        world = world_of(
            [
                (s.floor_height, s.ceiling_height, [(n.x1, n.y1, n.x2, n.y2, n.is_blocking) for n in s.lines])
                for s in state.sectors
            ]
        )
        things = tuple(
            Thing(o.name, o.category, o.position_x, o.position_y, o.position_z)
            for o in state.objects
            if o.name != "DoomPlayer"
        )
        self._game.close()
        self._game.set_objects_info_enabled(False)
        self._game.set_sectors_info_enabled(False)
        return world, things

    def _start(self) -> None:
        self._game.init()
        self._idle(_START_TICS)
        for command in ("god", "notarget", "freeze"):
            self._game.send_game_command(command)
        self._idle(2)

    def close(self) -> None:
        self._game.close()

    def stand(self, x: int, y: int) -> bool:
        """Put the camera over (x, y) and wait until it has fallen to the floor; False where it does not stay there,
        for example because a teleporter took it or the place is blocked."""
        self._game.send_game_command(f"warp {x} {y}")
        self._idle(2)
        height = self._pose()["z"]
        for _ in range(_SETTLE_TICS):
            self._idle(1)
            pose = self._pose()
            if pose["z"] == height:
                return abs(pose["x"] - x) < 1 and abs(pose["y"] - y) < 1
            height = pose["z"]
        return False

    def look(self, angle: float) -> Shot:
        """Turn to `angle` (degrees, counter-clockwise from east; exact to 0.01) and take the picture.

        The shot's pose holds what the engine says: x, y, z, angle, pitch, roll, fov.
        """
        self._game.make_action([self._pose()["angle"] - angle], 1)
        state: Any = self._game.get_state()
        return Shot(
            state.screen_buffer.copy(),
            state.depth_buffer.copy(),
            state.labels_buffer.copy(),
            self._pose(),
            tuple(
                {"value": n.value, "name": n.object_name, "category": n.object_category, "id": n.object_id}
                for n in state.labels
                if n.object_name != "DoomPlayer"
            ),
        )

    def _idle(self, tics: int) -> None:
        self._game.make_action([0.0], tics)

    def _pose(self) -> dict[str, float]:
        return {name: self._game.get_game_variable(variable) for name, variable in self._variables.items()}
