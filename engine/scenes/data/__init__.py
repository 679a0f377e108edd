"""Scenes on disk: GSN's layout and transforms.json read and checked, Freedoom's maps collected, tensors to train on.

    collect_dataset(Path("doom"), campaign_maps(), Recipe(scenes=30), processes=2)
    train, test = load_scenes(Path("doom")).train_test()
    packed = pack_scenes(train, PackSettings(grid=(32, 128, 128), size=128, stride=4), Path("packed"))
    scenes = packed.tensors(cameras=8).to("cuda")

See docs/scenes.md.
"""

from engine.scenes.data.doom import collect_dataset
from engine.scenes.data.estimate import (
    MemoryEstimate,
    estimate_diffusion,
    estimate_latents,
    estimate_memory,
    packed_bytes,
)
from engine.scenes.data.gsn import read_plan
from engine.scenes.data.load import Loaded, load_scenes, split
from engine.scenes.data.packed import PackedScenes, PackSettings, pack_scenes
from engine.scenes.data.types import Picture, Plan, Report, Scene, SceneDataError
from engine.scenes.data.views import Posed, layout_of, read_views

__all__ = [
    "Loaded",
    "MemoryEstimate",
    "PackSettings",
    "PackedScenes",
    "Picture",
    "Plan",
    "Posed",
    "Report",
    "Scene",
    "SceneDataError",
    "collect_dataset",
    "estimate_diffusion",
    "estimate_latents",
    "estimate_memory",
    "layout_of",
    "load_scenes",
    "pack_scenes",
    "packed_bytes",
    "read_plan",
    "read_views",
    "split",
]
