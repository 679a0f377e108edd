"""What tokens and GPU hours cost: a dated table to edit (prices.toml), and dollars from it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.cost.flops import Floats, PromptCharge

SHIPPED_TABLE, OWN_TABLE = "Canopy's table", "the installation's table"


class PriceError(ValueError):
    """A price table cannot be used; the message says where and why."""


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """Dollars per million tokens read and written, when a source showed them, and which.

    cached: per million tokens read that the service still had from an earlier request; None where it has no such price.
    table: which price table says so, in words.
    """

    input: float
    output: float
    as_of: str  # ISO date
    source: str
    cached: float | None = None
    table: str = ""


@dataclass(frozen=True, slots=True)
class GpuPrice:
    """Dollars per hour of one GPU."""

    per_hour: float
    as_of: str
    source: str
    table: str = ""


@dataclass(frozen=True, slots=True)
class Prices:
    models: Mapping[str, TokenPrice]
    gpus: Mapping[str, GpuPrice]


def load_prices(own: Path | None = None) -> Prices:
    """The table in this package, with the entries of ``own`` (a TOML file of the same shape) laid over it.

    Each price says in ``table`` which of the two it is from.

    Raises PriceError, naming the entry, when the file cannot be read, an entry lacks a price, a date or a source, or
    a price is negative.
    """
    text = files("engine.cost").joinpath("prices.toml").read_text(encoding="utf-8")
    shipped = _parse(text, "prices.toml", SHIPPED_TABLE)
    if own is None:
        return shipped
    try:
        text = own.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PriceError(f"{own} cannot be read: {error}") from error
    return lay_over(shipped, _parse(text, str(own), OWN_TABLE))


def lay_over(below: Prices, above: Prices) -> Prices:
    """Both tables; where they have an entry of the same name, whatever its case, that of ``above``. Its entries come
    first."""
    models = {name.lower() for name in above.models}
    gpus = {name.lower() for name in above.gpus}
    return Prices(
        {**above.models, **{name: price for name, price in below.models.items() if name.lower() not in models}},
        {**above.gpus, **{name: price for name, price in below.gpus.items() if name.lower() not in gpus}},
    )


def token_dollars(
    price: TokenPrice,
    prompt_tokens: npt.ArrayLike,
    output_tokens: npt.ArrayLike,
    completions: npt.ArrayLike = 1,
    prompt: PromptCharge = "each",
) -> Floats:
    """Dollars for ``completions`` answers of ``output_tokens`` tokens each to one prompt; arrays broadcast.

    prompt "once" is one request with n completions; "each" one request per completion.
    """
    completions = np.asarray(completions, dtype=np.float64)
    times = completions if prompt == "each" else np.minimum(completions, 1)
    read, written = np.asarray(prompt_tokens, dtype=np.float64), np.asarray(output_tokens, dtype=np.float64)
    return np.asarray((times * read * price.input + completions * written * price.output) / 1e6)


def gpu_dollars(seconds: npt.ArrayLike, price: GpuPrice, gpus: int = 1) -> Floats:
    """Dollars for ``seconds`` of wall time on ``gpus`` GPUs."""
    return np.asarray(seconds, dtype=np.float64) / 3600 * price.per_hour * gpus


def _parse(text: str, where: str, title: str) -> Prices:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PriceError(f"{where} is not TOML: {error}") from error
    models = {
        name: TokenPrice(
            _money(entry, "input"),
            _money(entry, "output"),
            *_dated(entry),
            _money(entry, "cached") if "cached" in entry else None,
            title,
        )
        for name, entry in _entries(table, "models", where)
    }
    gpus = {
        name: GpuPrice(_money(entry, "per_hour"), *_dated(entry), title)
        for name, entry in _entries(table, "gpus", where)
    }
    return Prices(models, gpus)


def _entries(table: dict[str, Any], kind: str, where: str) -> list[tuple[str, dict[str, Any]]]:
    entries = table.get(kind, {})
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise PriceError(f'{where}: each entry of {kind} needs the form [{kind}."name"] with its values below')
    return [(name, {**entry, "_where": f"{where}: {kind}.{name}"}) for name, entry in entries.items()]


def _money(entry: dict[str, Any], key: str) -> float:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise PriceError(f"{entry['_where']} needs {key} = dollars, 0 or more")
    return float(value)


def _dated(entry: dict[str, Any]) -> tuple[str, str]:
    as_of, source = entry.get("as_of"), entry.get("source")
    if not isinstance(as_of, date) or not isinstance(source, str) or not source:
        raise PriceError(f"{entry['_where']} needs as_of = a date such as 2026-01-31, and source = who shows the price")
    return as_of.isoformat()[:10], source
