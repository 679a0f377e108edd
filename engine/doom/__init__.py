"""Freedoom's maps as a source of posed pictures: rendered by ViZDoom, each game in a process of its own.

    train, test = split_maps(campaign_maps())
    for frame in collect(train, Recipe(scenes=10, monsters=True, near_things=(80, 200)), processes=2):
        frame.rgb, [(seen.name, seen.category, seen.box, seen.mask) for seen in frame.instances(min_pixels=64)]

See docs/scenes.md.
"""

from engine.doom.collect import collect, collect_scenes
from engine.doom.frames import DoomScene, Frame, Seen
from engine.doom.maps import DoomMissingError, GameMap, campaign_maps, scenario_maps, split_maps
from engine.doom.process import GameError
from engine.doom.recipe import Recipe
from engine.doom.world import BirdsEye, Thing

__all__ = [
    "BirdsEye",
    "DoomMissingError",
    "DoomScene",
    "Frame",
    "GameError",
    "GameMap",
    "Recipe",
    "Seen",
    "Thing",
    "campaign_maps",
    "collect",
    "collect_scenes",
    "scenario_maps",
    "split_maps",
]
