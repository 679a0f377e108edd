"""Kernels of the detectors."""

from kernels.detection.match import best_overlaps
from kernels.detection.nms import suppress
from kernels.detection.norm import group_norm_relu

__all__ = ["best_overlaps", "group_norm_relu", "suppress"]
