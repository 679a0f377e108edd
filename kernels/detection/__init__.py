"""Kernels of the detectors."""

from kernels.detection.nms import suppress

__all__ = ["suppress"]
