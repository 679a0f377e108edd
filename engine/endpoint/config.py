"""Which hosted models there are: endpoints that speak the OpenAI protocol, as the operator listed them.

    {"lab": {"url": "https://models.example.org/v1", "key": "...", "concurrency": 8, "most_per_call": 16}}

A model is written ``openai:MODEL@ENDPOINT``. The key never leaves the worker: it is in no experiment, page, log or
message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple
from urllib.parse import urlsplit

PREFIX = "openai:"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,39}", re.ASCII)


class EndpointError(ValueError):
    """A hosted model cannot be used; the message says why and what to do."""

    is_final = True  # for jobs.runner: the next attempt would end in the same way


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a hosted model is asked. Times are seconds."""

    name: str
    url: str  # up to and including the version: https://api.example.org/v1
    key: str = field(default="", repr=False)
    concurrency: int = 8  # calls at once, for each worker
    most_per_call: int = 16  # answers asked for in one call (the protocol's n)
    timeout: float = 300.0  # without a byte from the server
    attempts: int = 8  # of one call, before the shard fails

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if not _NAME.fullmatch(self.name):
            raise EndpointError(f"The endpoint name {self.name[:40]!r} must be letters, digits, dots and dashes.")
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
            raise EndpointError(f"The url of the endpoint {self.name} must look like https://host/v1, without a key.")
        for name, most in (("concurrency", 256), ("most_per_call", 1024), ("attempts", 100)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise EndpointError(f"{name} of the endpoint {self.name} must be a whole number from 1 to {most}.")
        if isinstance(self.timeout, bool) or not isinstance(self.timeout, int | float) or not 0 < self.timeout <= 3600:
            raise EndpointError(f"timeout of the endpoint {self.name} must be a number of seconds up to 3600.")
        if not isinstance(self.key, str) or not self.key.isprintable():
            raise EndpointError(f"The key of the endpoint {self.name} must be one line of text.")


class Hosted(NamedTuple):
    """A model at an endpoint."""

    model: str
    endpoint: str


def parse_endpoints(text: str) -> dict[str, Endpoint]:
    """The endpoints in the setting's JSON, by name; none for an empty setting. Raises EndpointError, which does not
    quote the text: it holds keys."""
    if not text.strip():
        return {}
    try:
        listed = json.loads(text)
    except ValueError as error:
        where = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise EndpointError(f"The endpoints are no valid JSON{where}.") from None
    if not isinstance(listed, dict) or not all(isinstance(value, dict) for value in listed.values()):
        raise EndpointError(
            'The endpoints must be an object such as {"lab": {"url": "https://host/v1", "key": "..."}}.'
        )
    known = {one.name for one in fields(Endpoint)} - {"name"}
    endpoints = {}
    for name, values in listed.items():
        if unknown := sorted(set(values) - known):
            listed = ", ".join(sorted(known))
            raise EndpointError(f"The endpoint {name[:40]} has no setting {unknown[0][:40]!r}; there are: {listed}.")
        if not isinstance(values.get("url"), str):
            raise EndpointError(f"The endpoint {name[:40]} needs a url such as https://host/v1.")
        endpoints[name] = Endpoint(name=name, **values)
    return endpoints


def is_hosted(model: str) -> bool:
    return model.startswith(PREFIX)


def parse_model(model: str) -> Hosted:
    """``openai:MODEL@ENDPOINT`` -> its parts. Raises EndpointError."""
    name, _, endpoint = model.removeprefix(PREFIX).rpartition("@")
    if not is_hosted(model) or not name or not endpoint:
        raise EndpointError(f"Write a hosted model as {PREFIX}MODEL@ENDPOINT, such as {PREFIX}gpt-4o-mini@lab.")
    return Hosted(name, endpoint)


def find_endpoint(model: str, endpoints: Mapping[str, Any]) -> Hosted:
    """``model``'s parts, if its endpoint is among ``endpoints``. Raises EndpointError, which lists their names."""
    hosted = parse_model(model)
    if hosted.endpoint not in endpoints:
        listed = ", ".join(endpoints) or "none; the operator lists them in CANOPY_ENDPOINTS"
        raise EndpointError(f"There is no endpoint called {hosted.endpoint[:40]!r}. There are: {listed}.")
    return hosted
