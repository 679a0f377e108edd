"""Finds the price of a model or a device in a price table. Their names differ from those that experiments write."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from engine.cost import GpuPrice, Prices, TokenPrice
from engine.endpoint import is_hosted
from engine.endpoint.config import PREFIX


def token_price(model: str, prices: Prices) -> TokenPrice | None:
    """Of a model by its name, by the last part of ``openai/gpt-4o-mini``, or by the middle one of
    ``openai:gpt-4o-mini@lab``."""
    table = {name.lower(): price for name, price in prices.models.items()}
    name = model.removeprefix(PREFIX).rpartition("@")[0] if is_hosted(model) else model
    return table.get(name.lower()) or table.get(PurePosixPath(name.lower()).name)


def gpu_price(device: str, prices: Prices) -> tuple[int, GpuPrice | None]:
    """How many GPUs ``device`` names, such as "4 x NVIDIA A100-SXM4-80GB", and the price of one.

    Names of devices and of offers differ: an offer fits when its model ("A100") and memory ("80GB") are in the name.
    The first one that fits holds, and a team's own come first.
    """
    several = re.match(r"(\d+) x ", device)
    words = set(re.findall(r"[a-z0-9]+", device.lower()))
    for name, price in prices.gpus.items():
        offer = re.findall(r"[a-z0-9]+", name.lower())
        needed = {offer[0], *(word for word in offer if re.fullmatch(r"\d+gb", word))} if offer else set()
        if needed and needed <= words:
            return int(several.group(1)) if several else 1, price
    return 1, None


def price_note(price: TokenPrice | GpuPrice) -> str:
    """Which price a figure is made with, from when, and from which table."""
    if isinstance(price, GpuPrice):
        rate = f"${price.per_hour:g} an hour"
    else:
        rate = f"${price.input:g} and ${price.output:g} a million tokens read and written"
    return f"Price: {rate} ({price.source}, {price.as_of}), from {price.table}."
