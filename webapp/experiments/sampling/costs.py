"""What k samples of a problem cost, on every axis for which enough was measured; for the rest, why not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath

from django.conf import settings

from engine.cost import (
    Cost,
    GpuPrice,
    ModelSize,
    PriceError,
    Prices,
    PromptCharge,
    TokenPrice,
    Unit,
    decode_flops,
    gpu_dollars,
    load_prices,
    prompt_flops,
    token_dollars,
)
from engine.endpoint import is_hosted
from engine.endpoint.config import PREFIX
from webapp.experiments.sampling.measured import Measured

CHARGES: tuple[PromptCharge, ...] = ("once", "each")


@dataclass(frozen=True, slots=True)
class Costs:
    """lines: by axis, "gpu" or "flops"/"dollars" with how the prompt is charged ("flops_once"). notes and why: by axis
    alone, where a number comes from, or why there is none."""

    lines: Mapping[str, Cost] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    why: Mapping[str, str] = field(default_factory=dict)


def costs_of(measured: Measured) -> Costs:
    """Costs per problem, from one experiment's tokens, worker time and the price table."""
    lines: dict[str, Cost] = {}
    notes: dict[str, str] = {}
    why: dict[str, str] = {}
    for axis, find in (("flops", _flops), ("gpu", _seconds), ("dollars", _dollars)):
        found = find(measured)
        if isinstance(found, str):
            why[axis] = found
        else:
            made, notes[axis] = found
            lines |= made
    return Costs(lines, notes, why)


Found = tuple[dict[str, Cost], str] | str  # lines and a note, or why there are none


def _flops(measured: Measured) -> Found:
    prompt, output, shape = measured.prompt_tokens, measured.output_tokens, measured.shape
    if shape is None:
        return "the model's size is not known here"
    if output is None or prompt is None:
        return "its tokens were not counted"
    size = ModelSize(shape.n_params, shape.layers, shape.hidden_size)
    read, written = float(prompt_flops(size, prompt)), float(decode_flops(size, prompt, output))
    return _charged("flops", "FLOPs", read, written), "Prompt lengths are estimated from characters."


def _seconds(measured: Measured) -> Found:
    if not measured.worker_seconds:
        return (
            "a hosted model's service does not tell it"
            if is_hosted(measured.model)
            else "no worker's time was measured"
        )
    note = f"Measured on {measured.device}." if measured.device else ""
    return {"gpu": Cost("seconds", 0.0, measured.worker_seconds)}, note


def _dollars(measured: Measured) -> Found:
    token = token_price(measured.model)
    if token and measured.prompt_tokens is not None and measured.output_tokens:
        read = float(token_dollars(token, measured.prompt_tokens, 0))
        written = float(token_dollars(token, 0, measured.output_tokens))
        return _charged("dollars", "dollars", read, written), _source(token)
    if not measured.worker_seconds:
        return "no token price for its model and no worker's time"
    count, gpu = gpu_price(measured.device)
    if gpu is None:
        return f"no hourly price for {measured.device or 'its worker'}"
    per_sample = float(gpu_dollars(measured.worker_seconds, gpu, count))
    return {f"dollars_{charge}": Cost("dollars", 0.0, per_sample) for charge in CHARGES}, _source(gpu)


def _charged(axis: str, unit: Unit, read: float, written: float) -> dict[str, Cost]:
    """The prompt charged once for all samples of a problem, or with each of them."""
    return {f"{axis}_once": Cost(unit, read, written), f"{axis}_each": Cost(unit, 0.0, read + written)}


def _source(price: TokenPrice | GpuPrice) -> str:
    if isinstance(price, GpuPrice):
        rate = f"${price.per_hour:g} an hour"
    else:
        rate = f"${price.input:g} and ${price.output:g} a million tokens read and written"
    return f"Price: {rate} ({price.source}, {price.as_of})."


# --- the price table ------------------------------------------------------------------------------------------------


def prices() -> Prices:
    """The shipped table with the operator's own over it; the shipped one alone when theirs is broken (see checks)."""
    own: Path | None = settings.PRICES_FILE
    try:
        return _load(own, own.stat().st_mtime_ns if own else 0)
    except (OSError, PriceError):
        return _load(None, 0)


@lru_cache(maxsize=4)
def _load(own: Path | None, modified: int) -> Prices:
    """``modified`` is part of the cache key only: an edited table counts at once."""
    return load_prices(own)


def token_price(model: str) -> TokenPrice | None:
    """Of a model by its name, by the last part of ``openai/gpt-4o-mini``, or by the middle one of
    ``openai:gpt-4o-mini@lab``."""
    table = {name.lower(): price for name, price in prices().models.items()}
    name = model.removeprefix(PREFIX).rpartition("@")[0] if is_hosted(model) else model
    return table.get(name.lower()) or table.get(PurePosixPath(name.lower()).name)


def gpu_price(device: str) -> tuple[int, GpuPrice | None]:
    """How many GPUs ``device`` names, such as "4 x NVIDIA A100-SXM4-80GB", and the price of one.

    Names of devices and of offers differ: an offer fits when its model ("A100") and memory ("80GB") are in the name.
    """
    several = re.match(r"(\d+) x ", device)
    words = set(re.findall(r"[a-z0-9]+", device.lower()))
    for name, price in prices().gpus.items():
        offer = re.findall(r"[a-z0-9]+", name.lower())
        needed = {offer[0], *(word for word in offer if re.fullmatch(r"\d+gb", word))} if offer else set()
        if needed and needed <= words:
            return int(several.group(1)) if several else 1, price
    return 1, None
