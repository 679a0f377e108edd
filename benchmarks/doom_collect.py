"""Collecting scenes from Freedoom's maps: python -m benchmarks.doom_collect [--maps 68] [--processes 2]

Times include the start of each game. CPU time is that of all processes, which other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks._report import Row, write_report
from engine.doom import DoomScene, GameError, GameMap, Recipe, campaign_maps, collect_scenes
from engine.scenes.data import collect_dataset, load_scenes

_SPREAD = 17  # every 17th map: four of very different sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--maps", type=int, default=68)
    parser.add_argument("--scenes", type=int, default=30)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    maps = campaign_maps()[: options.maps]
    rows: list[Row] = []
    for width, height in ((160, 120), (320, 240), (640, 480)):
        rows += _frames(maps[::_SPREAD], Recipe(scenes=5, width=width, height=height))
    rows += _whole(maps, Recipe(scenes=options.scenes), options.processes)
    rows += _written(maps[::_SPREAD], Recipe(scenes=5))
    notes = f"Other work on the machine slows it down; load average at the end: {os.getloadavg()[2]:.1f} (15 minutes)."
    write_report(
        "doom-collect", "Scenes from Freedoom's maps", rows, packages=("vizdoom", "numpy", "pillow"), notes=notes
    )


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _frames(maps: tuple[GameMap, ...], recipe: Recipe) -> list[Row]:
    """RGB, depth, labels and the map from above, one game at a time."""
    wall, cpu = time.perf_counter(), _cpu()
    frames = sum(len(scene.frames) for scene in collect_scenes(maps, recipe))
    wall, cpu = time.perf_counter() - wall, _cpu() - cpu
    case = f"{recipe.width}x{recipe.height}, one game, {len(maps)} maps"
    return [
        Row(case, "frames", "1/s", frames / wall),
        Row(case, "CPU time of a frame", "ms", cpu / frames * 1000),
    ]


def _whole(maps: tuple[GameMap, ...], recipe: Recipe, processes: int) -> list[Row]:
    found: Counter[GameMap] = Counter()
    failed: list[GameError] = []
    wall, cpu = time.perf_counter(), _cpu()
    for scene in collect_scenes(maps, recipe, processes=processes, skip=failed.append):
        found[scene.game_map] += 1
    wall, cpu = time.perf_counter() - wall, _cpu() - cpu
    frames = found.total() * recipe.views
    case = f"{len(maps)} maps, {recipe.scenes} scenes of {recipe.views} views each, {processes} games"
    return [
        Row(case, "scenes", "", found.total(), goal=">= 2,000"),
        Row(case, "maps with fewer scenes than asked for", "", sum(found[each] < recipe.scenes for each in maps)),
        Row(case, "games that died", "", len(failed)),
        Row(case, "time", "s", wall),
        Row(case, "frames", "1/s", frames / wall),
        Row(case, "CPU time of a frame", "ms", cpu / frames * 1000),
    ]


def _written(maps: tuple[GameMap, ...], recipe: Recipe) -> list[Row]:
    """GSN's layout on disk, and reading it with all checks."""
    views = 0

    def count(scene: DoomScene) -> None:
        nonlocal views
        views += len(scene.frames)

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        wall = time.perf_counter()
        collect_dataset(folder, maps, recipe, progress=count)
        written = time.perf_counter() - wall
        size = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
        wall = time.perf_counter()
        load_scenes(folder)
        read = time.perf_counter() - wall
    case = f"to disk, {recipe.width}x{recipe.height}, one game"
    return [
        Row(case, "frames collected and written", "1/s", views / written),
        Row(case, "size of a view (picture, depth, mask)", "kB", size / views / 1000),
        Row(case, "views read and checked", "1/s", views / read),
    ]


if __name__ == "__main__":
    main()
