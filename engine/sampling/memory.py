"""How many key/value tokens fit in memory. The engine asks when it starts, an estimate long before; so no torch here
until a GPU is asked."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from engine.models.shape import BYTES_PER_VALUE, ModelShape

if TYPE_CHECKING:
    import torch

# Samples drawn at once, at most.
BATCH_CPU, BATCH_GPU = 64, 1024
# Rows of a prefill pass on a GPU: enough for full-speed matrix products, few enough to bound the activations.
PREFILL_ROWS = 4096
# Of what is free: a GPU keeps some for fragments of memory, a CPU's memory belongs to everyone.
_SHARE_OF_FREE_GPU, _SHARE_OF_FREE_RAM = 0.94, 0.5
# Workspaces of the matrix libraries and the CUDA graphs' own records.
_FIXED_BYTES = 1 << 30


def activation_bytes(shape: ModelShape, batch: int = BATCH_GPU) -> int:
    """Most memory that one pass on a GPU needs besides weights, keys and values.

    A row holds the residual stream and its norm (twice each), queries twice, keys, values, and the MLP's two halves
    with their product, for a width of 4 times the model's. Logits are held twice: those drawn from, and those of
    the open problems.
    """
    row = 4 * shape.hidden_size + 2 * (shape.heads + shape.kv_heads) * shape.head_size + 3 * 4 * shape.hidden_size
    return (PREFILL_ROWS * row + 2 * batch * shape.vocabulary) * BYTES_PER_VALUE + _FIXED_BYTES


def kv_tokens_in(free_bytes: int, shape: ModelShape, *, on_gpu: bool, batch: int = BATCH_GPU) -> int:
    """Key/value tokens that the engine plans for in memory that is free beside the weights."""
    room = (
        free_bytes * _SHARE_OF_FREE_GPU - activation_bytes(shape, batch) if on_gpu else free_bytes * _SHARE_OF_FREE_RAM
    )
    return max(0, int(room)) // shape.kv_bytes_per_token


def free_kv_tokens(device: torch.device, shape: ModelShape, *, batch: int = BATCH_GPU, gpus: int = 1) -> int:
    """Key/value tokens that fit now, beside the loaded weights; gpus: how many share each token's heads."""
    if device.type == "cuda":
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return kv_tokens_in(free, shape, on_gpu=True, batch=batch) * gpus
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return kv_tokens_in(free, shape, on_gpu=False)
