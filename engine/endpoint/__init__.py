"""Models behind an OpenAI-compatible endpoint, as a generator of samples beside ``engine.sampling``."""

from engine.endpoint.config import Endpoint, EndpointError, find_endpoint, is_hosted, parse_endpoints, parse_model
from engine.endpoint.generate import HostedSample, Request, generate
from engine.endpoint.protocol import Params, Prompt

__all__ = [
    "Endpoint",
    "EndpointError",
    "HostedSample",
    "Params",
    "Prompt",
    "Request",
    "find_endpoint",
    "generate",
    "is_hosted",
    "parse_endpoints",
    "parse_model",
]
