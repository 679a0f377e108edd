"""Starting points for the form. A preset fills fields of ScenesSpec; what it leaves out keeps its default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobs.kinds.scenes.spec import FREEDOOM, ROOMS


@dataclass(frozen=True, slots=True)
class Preset:
    name: str
    title: str
    help: str
    icon: str
    values: dict[str, Any]


_DRAWN_IN = {f"steps_{group}": 10 for group in ("g", "c", "f")}

PRESETS = (
    Preset(
        "small",
        "Small, on a CPU",
        "Drawn rooms and small networks: every stage in a minute or two on two CPU cores. The scenes are rough.",
        "bolt",
        {
            "data": ROOMS,
            "rooms": 16,
            "grid": "8x32x32",
            "image_size": 32,
            "stride": 2,
            "channels": 8,
            "bins": 24,
            "samples": 32,
            "width": 16,
            "latent_width": 32,
            "g": 16,
            "codebook": 128,
            "denoiser_width": 16,
            "cameras": 4,
            "autoencoder_steps": 500,
            "latent_steps": 200,
            "diffusion_steps": 200,
            "scene_batch": 1,
            "views_given": 6,
            "views_asked": 2,
            "diffusion_batch": 8,
            "learning_rate": 2e-3,
            "warmup": 20,
            "ema": 0.98,
            "scenes": 3,
            **_DRAWN_IN,
        },
    ),
    Preset(
        "medium",
        "Medium, one GPU",
        "Freedoom at 16 x 64 x 64 voxels: each stage stays under ten minutes on one H200.",
        "star",
        {
            "data": FREEDOOM,
            "maps": 40,
            "scenes_per_map": 15,
            "prediction": "v",
            "autoencoder_steps": 6_000,
            "latent_steps": 5_000,
            "diffusion_steps": 15_000,
            "scene_batch": 4,
            "diffusion_batch": 32,
        },
    ),
    Preset(
        "paper",
        "As published",
        "NeuralField-LDM's grid and latents on all of Freedoom. What it does not name is ours; hours on one GPU.",
        "file",
        {
            "data": FREEDOOM,
            "maps": 61,
            "scenes_per_map": 30,
            "grid": "32x128x128",
            "channels": 32,
            "autoencoder_steps": 40_000,
            "latent_steps": 30_000,
            "diffusion_steps": 200_000,
            "scene_batch": 2,
            "views_given": 12,
            "diffusion_batch": 32,
            "ema": 0.9999,
            "scenes": 16,
            **{f"steps_{group}": 50 for group in ("g", "c", "f")},
        },
    ),
)
