"""Results made elsewhere, read; results made here, written. Pure Python: no Django, no torch.

``read_results`` takes a ``Source`` in any of ``FORMATS``. Files are hostile until read: see ``engine.exchange.source``.
"""

from engine.exchange.records import ExchangeError, Limits, Options, Record
from engine.exchange.registry import AUTO, FORMATS, detect_format, get_format
from engine.exchange.results import Numbered, read_results, uid_of
from engine.exchange.source import Source

__all__ = [
    "AUTO",
    "FORMATS",
    "ExchangeError",
    "Limits",
    "Numbered",
    "Options",
    "Record",
    "Source",
    "detect_format",
    "get_format",
    "read_results",
    "uid_of",
]
