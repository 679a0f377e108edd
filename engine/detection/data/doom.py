"""A built-in data set of real pictures with exact masks: objects and monsters in Freedoom's maps, seen by ViZDoom.

Masks are of what is visible, boxes are the masks'. Which label rule suits an object depends on its class here: crates
and barrels fill the corners of their boxes, monsters do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from engine.detection.data import coco
from engine.detection.data.masks import Mask
from engine.detection.data.types import Dataset, Instance, Record
from engine.doom import Frame, GameMap, Recipe, campaign_maps, collect, split_maps

# ViZDoom's categories but for those of which there are too few to learn: keys, power-ups, gibs
CLASSES = (
    "Ammo", "Armor", "Decoration", "Gore", "Hazard", "Health", "LightSource", "Monster", "Vegetation", "Weapon",
)  # fmt: skip
LEAST_PIXELS = 64  # visible ones of an object that is trained on and counted; smaller ones are marked as crowds
_SEEN_PIXELS = 16
_QUALITY = 88  # of the JPEG files
RECIPE = Recipe(scenes=2, stands=2, headings=4, monsters=True, near_things=(60.0, 160.0), clearance=40.0)


def render_doom(
    folder: Path,
    *,
    maps: tuple[Sequence[GameMap], Sequence[GameMap]] | None = None,
    recipe: Recipe = RECIPE,
    processes: int = 1,
) -> tuple[Dataset, Dataset]:
    """Two data sets (train, val) of different maps into `folder`: images, train.json and val.json in COCO's form.

    Pictures without an object are left out. The same maps and recipe give the same files.

    Args:
        maps: to train on and to validate on; None for all, split as everywhere (`split_maps`).
        recipe: pictures of each map. Validation maps are few, so they get three times as many scenes.
        processes: games at the same time.

    Raises:
        DoomMissingError: vizdoom is not installed.
        GameError: a game died.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    chosen = maps or split_maps(campaign_maps())
    sets = []
    for name, group, scenes in zip(("train", "val"), chosen, (recipe.scenes, 3 * recipe.scenes), strict=True):
        frames = collect(group, replace(recipe, scenes=scenes), processes=processes)
        dataset = Dataset(folder, CLASSES, tuple(found for frame in frames if (found := _keep(frame, folder))))
        coco.write(dataset, folder / f"{name}.json")
        sets.append(dataset)
    return sets[0], sets[1]


def _keep(frame: Frame, folder: Path) -> Record | None:
    """Write the picture, unless there is nothing to find."""
    instances = []
    for seen in frame.instances(_SEEN_PIXELS):
        if seen.category in CLASSES:
            x1, y1, x2, y2 = seen.box
            small = int(seen.mask.sum()) < LEAST_PIXELS
            box = (float(x1), float(y1), float(x2), float(y2))
            instances.append(Instance(box, CLASSES.index(seen.category) + 1, Mask.of_array(seen.mask), crowd=small))
    if all(each.crowd for each in instances):
        return None
    height, width = frame.labels.shape
    file = f"images/{frame.name}.jpg"
    Image.fromarray(frame.rgb).save(folder / file, quality=_QUALITY)
    return Record(file, width, height, tuple(instances))
