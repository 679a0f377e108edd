"""The outline of a mask as points. numpy only: a web process reads data sets without torch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def outline_points(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Corners (P, 2: x, y) of the pixels of a mask (H, W) that have a neighbour outside it; (0, 2) for an empty
    mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return np.zeros((0, 2), np.float32)
    top, left = rows[0], columns[0]
    padded = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    edge = padded[1:-1, 1:-1] & ~inner
    corners = np.zeros((edge.shape[0] + 1, edge.shape[1] + 1), np.bool_)
    for down in (0, 1):
        for right in (0, 1):
            corners[down : down + edge.shape[0], right : right + edge.shape[1]] |= edge
    ys, xs = np.nonzero(corners)
    return np.stack((xs + left, ys + top), -1).astype(np.float32)
