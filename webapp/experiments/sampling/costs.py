"""What k samples of a problem cost, on every axis for which enough was measured; for the rest, why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.cost import (
    Cost,
    ModelSize,
    Prices,
    PromptCharge,
    Unit,
    decode_flops,
    gpu_dollars,
    prompt_flops,
    token_dollars,
)
from engine.endpoint import is_hosted
from webapp.experiments.sampling.measured import Measured
from webapp.prices.lookup import gpu_price, price_note, token_price

CHARGES: tuple[PromptCharge, ...] = ("once", "each")


@dataclass(frozen=True, slots=True)
class Costs:
    """lines: by axis, "gpu" or "flops"/"dollars" with how the prompt is charged ("flops_once"; "dollars_cached" where
    the price table has a price of cached tokens: in full once, then from the service's cache). notes and why: by axis
    alone, where a number comes from, or why there is none."""

    lines: Mapping[str, Cost] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    why: Mapping[str, str] = field(default_factory=dict)


def costs_of(measured: Measured, prices: Prices) -> Costs:
    """Costs per problem, from one experiment's tokens, worker time and the price table."""
    lines: dict[str, Cost] = {}
    notes: dict[str, str] = {}
    why: dict[str, str] = {}
    for axis, found in (
        ("flops", _flops(measured)),
        ("gpu", _seconds(measured)),
        ("dollars", _dollars(measured, prices)),
    ):
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


def _dollars(measured: Measured, prices: Prices) -> Found:
    token = token_price(measured.model, prices)
    if token and measured.prompt_tokens is not None and measured.output_tokens:
        read = float(token_dollars(token, measured.prompt_tokens, 0))
        written = float(token_dollars(token, 0, measured.output_tokens))
        lines = _charged("dollars", "dollars", read, written)
        if token.cached is not None:
            again = measured.prompt_tokens * token.cached / 1e6
            lines["dollars_cached"] = Cost("dollars", max(0.0, read - again), again + written)
        return lines, price_note(token)
    if not measured.worker_seconds:
        return "no token price for its model and no worker's time"
    count, gpu = gpu_price(measured.device, prices)
    if gpu is None:
        return f"no hourly price for {measured.device or 'its worker'}"
    per_sample = float(gpu_dollars(measured.worker_seconds, gpu, count))
    return {f"dollars_{charge}": Cost("dollars", 0.0, per_sample) for charge in CHARGES}, price_note(gpu)


def _charged(axis: str, unit: Unit, read: float, written: float) -> dict[str, Cost]:
    """The prompt charged once for all samples of a problem, or with each of them."""
    return {f"{axis}_once": Cost(unit, read, written), f"{axis}_each": Cost(unit, 0.0, read + written)}
