"""Tile shapes of the tree kernels: measured on Hopper, safe elsewhere. No search at run time."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Tiles:
    """block_m: queries of a tile (tokens or rows x heads of a group); block_n: keys of a tile; stages: tiles of keys
    under way; registers: most per thread."""

    block_m: int
    block_n: int
    warps: int
    stages: int
    registers: int | None = None


@dataclass(frozen=True, slots=True)
class Prefix(Tiles):
    """programs: per multiprocessor, and crowd: where the shared nodes take most of a step (`planning.CROWD`)."""

    programs: int = 1
    crowd: int = 1


@dataclass(frozen=True, slots=True)
class Suffix:
    """block_n: keys of a tile; stages: tiles of keys under way."""

    block_n: int
    warps: int
    stages: int


@dataclass(frozen=True, slots=True)
class Reduce:
    """block_p: partial results read at once; elements: heads x size of a program."""

    block_p: int = 1
    elements: int = 1024
    warps: int = 4


@dataclass(frozen=True, slots=True)
class Config:
    prefix: Prefix
    suffix: Suffix
    prefill: Tiles
    reduce: Reduce = Reduce()


# By head size. Measured on an H200 over the cases of benchmarks/attention.py. One program of the prefix kernel per
# multiprocessor, with registers and shared memory left for the suffixes' programs beside it: the one waits for the
# tensor cores while the others wait for memory. Below 144 registers ptxas runs the matrix products of a head of 128
# one by one; from 176 on there is no room for two programs of the suffix kernel.
_HOPPER = {
    64: Config(Prefix(128, 64, 8, 3, 128, crowd=2), Suffix(64, 2, 3), Tiles(64, 64, 4, 3)),
    128: Config(Prefix(128, 64, 8, 3, 168), Suffix(64, 4, 2), Tiles(64, 64, 4, 3)),
    256: Config(Prefix(128, 64, 8, 2), Suffix(32, 4, 2), Tiles(128, 64, 8, 2)),
}
_DEFAULT = {
    64: Config(Prefix(64, 64, 4, 2, programs=2, crowd=2), Suffix(64, 4, 2), Tiles(64, 64, 4, 2)),
    128: Config(Prefix(64, 32, 4, 2, programs=2, crowd=2), Suffix(32, 4, 2), Tiles(64, 32, 4, 2)),
    256: Config(Prefix(64, 32, 8, 2), Suffix(32, 4, 2), Tiles(64, 32, 8, 2)),
}
# fp32 products go through the plain cores; the tiles only have to fit.
_FULL = Config(Prefix(16, 32, 4, 1, programs=2, crowd=2), Suffix(32, 4, 1), Tiles(16, 32, 4, 1))


def config(size: int, dtype: torch.dtype, device: torch.device) -> Config:
    """size: head size, up to 256. Raises ValueError for larger heads."""
    if size > 256:
        raise ValueError(f"the tree kernels take heads of up to 256, not {size}")
    if dtype == torch.float32:
        return _FULL
    hopper = device.type == "cuda" and torch.cuda.get_device_capability(device)[0] == 9
    table = _HOPPER if hopper else _DEFAULT
    return table[next(limit for limit in table if size <= limit)]


def multiprocessors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 4
