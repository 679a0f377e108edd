"""Exact attention over a tree: one partial result per node, merged by log-sum-exp.

On a GPU over a paged pool: `tree_decode` and `tree_prefill`. On a CPU over dense levels: `tree_attention`.
"""

from kernels.attention.decode import tree_decode
from kernels.attention.merge import merge_partials
from kernels.attention.partial import partial_attention
from kernels.attention.prefill import Chunk, PrefillTables, tree_prefill
from kernels.attention.tables import TreeNode, TreeTables
from kernels.attention.tree import Level, tree_attention

__all__ = [
    "Chunk",
    "Level",
    "PrefillTables",
    "TreeNode",
    "TreeTables",
    "merge_partials",
    "partial_attention",
    "tree_attention",
    "tree_decode",
    "tree_prefill",
]
