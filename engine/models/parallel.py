"""Tensor parallelism: the GPUs of one host share every layer (Shoeybi et al. 2019, arXiv 1909.08053).

Attention heads and MLP columns are split over the processes, and two sums a layer join them. Every process runs the
same scheduler on the same tokens: sums are the same on all of them, and so is the noise, so nothing else is sent.
"""

from __future__ import annotations

import os
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class Group:
    """The processes that share one model; by default this one alone."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @staticmethod
    def join(rank: int, size: int, address: str, device: torch.device) -> Group:
        """Meet the other processes at `address` (tcp://host:port or file://path); NCCL on GPUs, gloo on CPUs."""
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # they are on one host
        backend = "gloo"
        if device.type == "cuda":
            torch.cuda.set_device(device)
            backend = "cpu:gloo,cuda:nccl"  # what the host agrees on must not wait for the GPU
        dist.init_process_group(backend, init_method=address, rank=rank, world_size=size)
        return Group(rank, size)

    def split(self, module: torch.nn.Module) -> None:
        """Keep this process's part of a Llama-like model's layers, in place; embedding and head stay whole.

        Raises ValueError when heads, KV heads or MLP columns cannot be shared evenly.
        """
        if self.size == 1:
            return
        model: Any = module
        config = model.config
        for name, count in (
            ("heads", config.num_attention_heads),
            ("key/value heads", config.num_key_value_heads),
            ("MLP columns", config.intermediate_size),
        ):
            if count % self.size:
                raise ValueError(f"{count} {name} cannot be shared by {self.size} GPUs: use a divisor of {count}")
        for layer in model.model.layers:
            attention, mlp = layer.self_attn, layer.mlp
            for linear in (attention.q_proj, attention.k_proj, attention.v_proj, mlp.gate_proj, mlp.up_proj):
                self._keep(linear.weight, 0)
                if linear.bias is not None:
                    self._keep(linear.bias, 0)
            for linear in (attention.o_proj, mlp.down_proj):
                self._keep(linear.weight, 1)

    def _keep(self, weight: Tensor, dim: int) -> None:
        weight.data = weight.data.chunk(self.size, dim)[self.rank].clone(memory_format=torch.contiguous_format)

    def sum(self, x: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(x)
        return x

    def agree(self, flag: bool) -> bool:
        """What process 0 says."""
        if self.size == 1:
            return flag
        told = torch.tensor([flag], dtype=torch.int32)
        dist.broadcast(told, 0)
        return bool(told.item())

    def least(self, value: int) -> int:
        """The smallest of all processes' values."""
        if self.size == 1:
            return value
        told = torch.tensor([value])
        dist.all_reduce(told, dist.ReduceOp.MIN)
        return int(told.item())

    def leave(self) -> None:
        if self.size > 1:
            dist.destroy_process_group()
