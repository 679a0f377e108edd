"""Kernels of the detectors."""

from kernels.detection.match import best_overlaps
from kernels.detection.nms import suppress

__all__ = ["best_overlaps", "suppress"]
