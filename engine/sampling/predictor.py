"""How long a running sample will become, from those that ended."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

_WINDOW = 2048  # finished samples remembered
_ENOUGH = 32  # below this every sample is taken to use its whole limit
_MARGIN = 0.25  # standard deviations above the mean (the rule of Tokasaurus, 2025)


class LengthPredictor:
    """Mean of the finished samples that were longer than a running one is now, plus a margin.

    Lengths are shares of the samples' limits, so that problems with different limits can be told together.
    """

    def __init__(self) -> None:
        self._finished: deque[float] = deque(maxlen=_WINDOW)
        self._table: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

    def observe(self, share: float) -> None:
        """A sample ended at this share of its limit."""
        self._finished.append(share)
        self._table = None

    def predict(self, drawn: NDArray[np.int64], limit: NDArray[np.int64]) -> NDArray[np.int64]:
        """Final lengths, at most `limit`, of samples that have `drawn` tokens."""
        if len(self._finished) < _ENOUGH:
            return limit
        if self._table is None:
            self._table = _conditional(np.sort(np.array(self._finished)))
        shares, expected = self._table
        above = np.searchsorted(shares, drawn / limit, side="right")
        return np.clip(np.ceil(expected[above] * limit - 1e-9).astype(np.int64), drawn, limit)


def _conditional(shares: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sorted shares -> (shares, mean + margin of shares[i:] for i = 0 .. n); nothing above means 1, the limit."""
    count = np.arange(len(shares), 0, -1)
    mean = np.cumsum(shares[::-1])[::-1] / count
    square = np.cumsum((shares**2)[::-1])[::-1] / count
    expected = mean + _MARGIN * np.sqrt(np.maximum(square - mean**2, 0))
    return shares, np.append(np.minimum(expected, 1.0), 1.0)
