"""How many key/value tokens fit in memory. The engine asks when it starts, an estimate long before; so no torch here
until a GPU is asked."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from engine.sampling.shape import ModelShape

if TYPE_CHECKING:
    import torch

# The rest is for activations, logits and whoever else uses the machine.
_SHARE_OF_FREE_GPU = 0.85
_SHARE_OF_FREE_RAM = 0.5
# Samples drawn at once, at most.
BATCH_CPU, BATCH_GPU = 64, 256


def kv_tokens_in(free_bytes: int, shape: ModelShape, *, on_gpu: bool) -> int:
    """Key/value tokens that the engine plans for in memory that is free beside the weights."""
    room = int(max(0, free_bytes) * (_SHARE_OF_FREE_GPU if on_gpu else _SHARE_OF_FREE_RAM))
    return room // shape.kv_bytes_per_token


def free_kv_tokens(device: torch.device, shape: ModelShape) -> int:
    """Key/value tokens that fit now, beside the loaded weights."""
    if device.type == "cuda":
        import torch

        free, _ = torch.cuda.mem_get_info(device)
    else:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return kv_tokens_in(free, shape, on_gpu=device.type == "cuda")
