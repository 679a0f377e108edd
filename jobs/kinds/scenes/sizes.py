"""From a Spec to the fields of the engine's configurations, and the keys that name a trained stage's inputs. No torch:
web and supervisor processes use it too."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from jobs.kinds.scenes.plan import AUTOENCODER, DIFFUSION, LATENTS, budgets
from jobs.kinds.scenes.spec import ScenesSpec

_PROCESS = {"x0": "linear", "v": "cosine", "flow": "flow"}
_CHECKPOINTS = 20  # of a stage, if steps are quick
_MOST_BETWEEN = 500  # steps
_NETWORKS = 2  # raised where weights trained before do not fit the networks any more


def packing(spec: ScenesSpec) -> dict[str, Any]:
    """The fields of engine.scenes.data.PackSettings."""
    return {"grid": list(spec.voxels), "size": spec.image_size, "stride": spec.stride}


def models(spec: ScenesSpec, has_maps: bool) -> dict[str, dict[str, Any]]:
    """The fields of SceneConfig, LatentConfig and DiffusionConfig, by stage; ``poses``: numbers of a trajectory."""
    _, _, x = spec.voxels
    base = spec.denoiser_width
    return {
        AUTOENCODER: {
            "grid": list(spec.voxels),
            "channels": spec.channels,
            "stride": spec.stride,
            "bins": spec.bins,
            "near": max(0.5, x / 64),
            "far": 0.75 * x,
            "samples": spec.samples,
            "width": spec.width,
        },
        LATENTS: {
            "channels": 1 + spec.channels,
            "grid": list(spec.voxels),
            "g": spec.g,
            "c_channels": spec.c_channels,
            "f_channels": spec.f_channels,
            "codebook": spec.codebook,
            "width": spec.latent_width,
        },
        DIFFUSION: {
            "process": _PROCESS[spec.prediction],
            "prediction": spec.prediction,
            "weighting": "snr" if spec.prediction == "x0" else "uniform",
            "g_width": 8 * base,
            "c_widths": [2 * base, 4 * base, 4 * base] if x >= 64 else [2 * base, 4 * base],
            "f_widths": [base, 2 * base, 4 * base, 4 * base] if x >= 64 else [base, 2 * base, 4 * base],
            "map_channels": 4 if spec.use_map and has_maps else 0,
            "map_side": min(16, x // 4),
            "map_width": 2 * base,
            "groups": list(spec.latent_groups),
        },
    }


def budget(spec: ScenesSpec, stage: str) -> dict[str, Any]:
    """The fields of engine.scenes.training.StageBudget."""
    steps = budgets(spec)[stage]
    return {
        "steps": steps,
        "learning_rate": spec.learning_rate,
        "warmup_steps": spec.warmup,
        "ema_decay": spec.ema,
        "precision": spec.precision,
        "checkpoint_every": max(1, min(_MOST_BETWEEN, steps // _CHECKPOINTS)),
        "seed": spec.seed,
    }


def batches(spec: ScenesSpec, views: int) -> dict[str, dict[str, int]]:
    """How much a step of each stage sees; ``views``: pictures of a scene that may be encoded."""
    given = max(1, min(spec.views_given, views - 1))
    asked = max(1, min(spec.views_asked, views - given))
    many = min(2 * spec.views_given, views)
    return {
        AUTOENCODER: {"batch": spec.scene_batch, "given": given, "asked": asked},
        LATENTS: {"batch": spec.scene_batch, "given": many},
        DIFFUSION: {"batch": spec.diffusion_batch, "given": many, "cameras": spec.cameras if spec.draws_cameras else 0},
    }


def key_of(*inputs: Any) -> str:
    """Names everything that decides what a stage comes to."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def keys(spec: ScenesSpec, fingerprint: str, views: int, has_maps: bool) -> dict[str, str]:
    """The key of each trained stage: of its data, sizes, budget and batches, and of the stage before."""
    before = key_of(_NETWORKS, fingerprint)
    found: dict[str, str] = {}
    for stage, fields in models(spec, has_maps).items():
        before = key_of(before, stage, fields, budget(spec, stage), batches(spec, views)[stage])
        found[stage] = before
    return found
