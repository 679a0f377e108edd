"""Kernels of the detectors."""

from kernels.detection.batch_norm import batch_norm_relu, bias_relu
from kernels.detection.focal import focal_loss
from kernels.detection.match import best_overlaps
from kernels.detection.nms import suppress
from kernels.detection.norm import group_norm_relu

__all__ = ["batch_norm_relu", "best_overlaps", "bias_relu", "focal_loss", "group_norm_relu", "suppress"]
