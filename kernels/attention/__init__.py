"""Exact attention over a tree: one partial result per node, merged by log-sum-exp."""

from kernels.attention.merge import merge_partials
from kernels.attention.partial import partial_attention
from kernels.attention.tree import Level, tree_attention

__all__ = ["Level", "merge_partials", "partial_attention", "tree_attention"]
