"""Pictures of Freedoom's maps with depth, exact poses, object masks and maps from above. See docs/scenes.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from engine.doom.frames import DoomScene, Frame
from engine.doom.maps import GameMap, package_folder
from engine.doom.process import GameError, GameProcess
from engine.doom.recipe import Recipe


def collect(
    maps: Sequence[GameMap],
    recipe: Recipe,
    *,
    processes: int = 1,
    skip: Callable[[GameError], None] | None = None,
) -> Iterator[Frame]:
    """All frames, map by map; see `collect_scenes`."""
    for scene in collect_scenes(maps, recipe, processes=processes, skip=skip):
        yield from scene.frames


def collect_scenes(
    maps: Sequence[GameMap],
    recipe: Recipe,
    *,
    processes: int = 1,
    skip: Callable[[GameError], None] | None = None,
    timeout_s: float = 60,
) -> Iterator[DoomScene]:
    """The scenes of each map, in the order of `maps`; the same for the same recipe, whatever `processes` is.

    Every map is a game in a process of its own; `processes` of them run at the same time. A game that dies, or says
    nothing for `timeout_s` seconds, is given to `skip` and the next map goes on; without `skip` its error is raised.

    Raises:
        DoomMissingError: vizdoom is not installed.
        GameError: a game died and there is no `skip`.
    """
    package_folder()
    games = iter(maps)
    running: list[GameProcess] = []
    try:
        while True:
            while len(running) < processes and (game_map := next(games, None)) is not None:
                running.append(GameProcess(game_map, recipe, timeout_s))
            if not running:
                return
            try:
                yield from running[0].scenes()
            except GameError as error:
                if skip is None:
                    raise
                skip(error)
            running.pop(0).close()
    finally:
        for game in running:
            game.close()
