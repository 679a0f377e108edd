"""The process of one game: python -m engine.doom.worker, told by a JSON line on its standard input what to collect.

Messages go to the file descriptor that the line names, because the engine prints to standard output.
"""

from __future__ import annotations

import json
import os
import sys
import zlib
from collections.abc import Iterator
from typing import IO

import numpy as np

from engine.doom.game import Game, Shot
from engine.doom.maps import GameMap
from engine.doom.recipe import Recipe, recipe_of
from engine.doom.wire import send
from engine.doom.world import Floats

_GRID = 16.0  # units between the places that are considered
_ROUNDS = 4  # times the needed number of stands that are tried before an anchor is given up


def main() -> None:
    task = json.loads(sys.stdin.readline())
    recipe = recipe_of(task["recipe"])
    game_map = GameMap(*task["map"])
    with os.fdopen(task["out"], "wb", buffering=2**20) as out:
        game = Game(game_map, recipe)
        try:
            collect_map(game, game_map, recipe, out)
        finally:
            game.close()


def collect_map(game: Game, game_map: GameMap, recipe: Recipe, out: IO[bytes]) -> None:
    """Send the scenes of a map: "scene" with the map from above, then its frames; "end" with their number."""
    rng = np.random.default_rng([recipe.seed, zlib.crc32(str(game_map).encode())])
    things = np.array([(thing.x, thing.y) for thing in game.things], dtype=np.float64).reshape(-1, 2)
    places = game.world.places(_GRID, recipe.clearance, things)
    done = 0
    for anchor in _anchors(game, places, things, recipe, rng):
        if done == recipe.scenes:
            break
        if shots := _shots(game, anchor, places, recipe, rng):
            _send_scene(out, game, anchor, recipe, done, shots)
            done += 1
    send(out, "end", {"scenes": done})


def _anchors(game: Game, places: Floats, things: Floats, recipe: Recipe, rng: np.random.Generator) -> Iterator[Floats]:
    """Places in random order, those far from the earlier ones first: scenes that overlap little teach more."""
    left = places[rng.permutation(len(places))]
    spacing = min(recipe.box[:2]) / 2
    while len(left) and spacing > _GRID:
        far = left
        while len(far):
            place = far[0]
            far = far[np.linalg.norm(far - place, axis=1) >= spacing]
            left = left[(left != place).any(1)]
            if _is_near(game, place, things, recipe.near_things):
                yield place
        spacing /= 2


def _is_near(game: Game, place: Floats, things: Floats, near: tuple[float, float] | None) -> bool:
    if near is None:
        return True
    distances = np.linalg.norm(things - place, axis=1)
    close = things[(distances >= near[0]) & (distances <= near[1])]
    return bool(len(close)) and bool(game.world.sees(place, close).any())


def _shots(
    game: Game, anchor: Floats, places: Floats, recipe: Recipe, rng: np.random.Generator
) -> list[tuple[int, Shot]]:
    """(stand, shot) of all views of a scene, or nothing where there are not enough good stands."""
    distances = np.linalg.norm(places - anchor, axis=1)
    around = places[(distances >= recipe.reach[0]) & (distances <= recipe.reach[1])]
    around = around[rng.permutation(len(around))]
    around = around[game.world.sees(anchor, around)]
    shots: list[tuple[int, Shot]] = []
    stood: list[Floats] = []
    tried = 0
    for place in np.concatenate([anchor[None], around]):
        if any(np.linalg.norm(place - other) < recipe.reach[0] / 2 for other in stood):
            continue  # views from nearly one place teach nothing about depth
        taken = _look_around(game, int(place[0]), int(place[1]), recipe.headings, float(rng.uniform(0, 360)))
        if taken:
            stood.append(place)
        shots += [(len(shots) // recipe.headings, shot) for shot in taken]
        if len(shots) == recipe.views:
            return shots
        tried += 1
        if not stood or tried > _ROUNDS * recipe.stands:
            break  # the anchor itself is no place to stand, or too few others are
    return []


def _look_around(game: Game, x: int, y: int, headings: int, first: float) -> list[Shot]:
    if not game.stand(x, y):
        return []
    shots = []
    for heading in range(headings):
        shot = game.look((first + 360 * heading / headings) % 360)
        if shot.is_junk:
            return []
        shots.append(shot)
    return shots


def _send_scene(
    out: IO[bytes], game: Game, anchor: Floats, recipe: Recipe, scene: int, shots: list[tuple[int, Shot]]
) -> None:
    origin = (float(anchor[0] - recipe.box[0] / 2), float(anchor[1] - recipe.box[1] / 2))
    shape = (round(recipe.box[1] / recipe.cell), round(recipe.box[0] / recipe.cell))
    plan = game.world.birds_eye(origin, shape, recipe.cell)
    row, column = (int((anchor[axis] - origin[axis]) / recipe.cell) for axis in (1, 0))
    floor = float(plan.floor[row, column])
    things = [
        {"name": each.name, "category": each.category, "x": each.x, "y": each.y, "z": each.z}
        for each in game.things
        if 0 <= each.x - origin[0] < recipe.box[0] and 0 <= each.y - origin[1] < recipe.box[1]
    ]
    fields = {"scene": scene, "anchor": [*anchor.tolist(), floor], "origin": origin, "cell": recipe.cell}
    arrays = {"floor": plan.floor, "ceiling": plan.ceiling, "wall": plan.wall}
    send(out, "scene", {**fields, "things": things}, arrays)
    for view, (stand, shot) in enumerate(shots):
        send(
            out,
            "frame",
            {"scene": scene, "stand": stand, "view": view, "pose": dict(shot.pose), "objects": list(shot.objects)},
            {"rgb": shot.rgb, "counts": shot.counts, "labels": shot.labels},
        )


if __name__ == "__main__":
    main()
