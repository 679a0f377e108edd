"""Canopy from a program or a terminal, over HTTP alone: imports neither Django nor torch.

>>> from webapp.client import Client
>>> with Client("https://canopy.example.org", token) as canopy:
...     run = canopy.submit(team, "sampling", {"samples": 16})
...     for state in canopy.watch(run.code): ...
"""

from webapp.client.client import ApiError, Client, Unreachable
from webapp.client.types import (
    Curve,
    Experiment,
    File,
    Kind,
    LiveState,
    Me,
    ProblemSet,
    Sample,
    ShareLink,
    Team,
    Worker,
)

__all__ = [
    "ApiError",
    "Client",
    "Curve",
    "Experiment",
    "File",
    "Kind",
    "LiveState",
    "Me",
    "ProblemSet",
    "Sample",
    "ShareLink",
    "Team",
    "Unreachable",
    "Worker",
]
