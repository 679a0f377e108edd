"""Files a training run leaves: a checkpoint it can go on from, and weights alone.

A checkpoint is replaced in one step, so that whoever is killed while writing leaves the one before. Both kinds are
read without running code in them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

_FORMAT = 1


class WeightsError(ValueError):
    """Weights that cannot be loaded; the message says why and what to do."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be gone on from; the message says why and what to do."""


def as_saved(value: Any) -> Any:
    """Tuples as lists, in whatever holds them: what a checkpoint gives back of it."""
    if isinstance(value, dict):
        return {key: as_saved(each) for key, each in value.items()}
    return [as_saved(each) for each in value] if isinstance(value, list | tuple) else value


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors, numbers, texts and containers of them, in one step."""
    part = _draft(path)
    torch.save({"format": _FORMAT, **state}, part)
    _settle(part, path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What `save_checkpoint` wrote, on the CPU. Raises CheckpointError."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises anything from KeyError to UnpicklingError
        raise CheckpointError(f"{path.name} cannot be read ({error}): start over in a new folder") from error
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise CheckpointError(f"{path.name} was written by another version: start over in a new folder")
    return state


def save_weights(path: Path, model: nn.Module, notes: Mapping[str, str]) -> None:
    """A model's state dict as safetensors with `notes` in the header, in one step."""
    part = _draft(path)
    save_file(
        {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}, part, dict(notes)
    )
    _settle(part, path)


def load_weights(path: Path, model: nn.Module) -> None:
    """Load what `save_weights` wrote. Raises WeightsError."""
    try:
        state: dict[str, Tensor] = load_file(path)
        model.load_state_dict(state)
    except Exception as error:  # a damaged file raises what the reader likes
        raise WeightsError(f"{path.name} does not fit this model: {error}") from error


def _draft(path: Path) -> Path:
    """Where this process writes first: of several that train together, two may have the same to say at once."""
    return path.with_name(f"{path.name}.{os.getpid()}.part")


def _settle(part: Path, path: Path) -> None:
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
