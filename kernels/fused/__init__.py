"""What a decode step needs around its matrix products, each in one pass over memory."""

from kernels.fused.activation import gated_activation
from kernels.fused.norm import rms_norm
from kernels.fused.rope import rope_append

__all__ = ["gated_activation", "rms_norm", "rope_append"]
