"""How many key/value tokens fit in the memory that is free now."""

from __future__ import annotations

import os

import torch

# The rest is for activations, logits and whoever else uses the machine.
_SHARE_OF_FREE_GPU = 0.85
_SHARE_OF_FREE_RAM = 0.5


def free_kv_tokens(device: torch.device, bytes_per_token: int) -> int:
    """Key/value tokens that fit beside the loaded weights."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free * _SHARE_OF_FREE_GPU) // bytes_per_token
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(free * _SHARE_OF_FREE_RAM) // bytes_per_token
