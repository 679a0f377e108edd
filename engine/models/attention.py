"""Routes a transformers model's attention layers to whoever holds the keys and values."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import AttentionInterface, PretrainedConfig

ATTENTION_NAME = "canopy_tree"
_KNOWN_LAYERS = {"full_attention", "sliding_attention"}
# These change with the length of the whole batch, so keys stored earlier would be wrong.
_LENGTH_DEPENDENT_ROPE = {"dynamic", "longrope"}


class Step(Protocol):
    """One forward pass over rows."""

    positions: Tensor  # int64 (rows,): position of each row in its sequence

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, *, scale: float, softcap: float | None, window: int | None
    ) -> Tensor:
        """Store the rows' k, v (rows, KV heads, size), then attend q (rows, query heads, size); like q."""
        ...


def _attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    softcap: float | None = None,
    sliding_window: int | None = None,
    tree_step: Step | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """query (1, heads, rows, size), key and value (1, KV heads, rows, size) -> (1, rows, heads, size)."""
    if tree_step is None:
        raise RuntimeError(
            f"{type(module).__name__} was called outside the sampling engine, or its model does not hand keyword "
            "arguments down to its attention layers, which the engine needs"
        )
    if kwargs.get("s_aux") is not None:
        raise NotImplementedError(f"{type(module).__name__} uses attention sinks, which the engine does not compute")
    rows = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    out = tree_step.attend(
        module.layer_idx,  # type: ignore[arg-type]  # nn.Module's attributes are typed Tensor | Module
        *rows,
        scale=scaling if scaling is not None else query.shape[-1] ** -0.5,
        softcap=softcap,
        window=sliding_window,
    )
    return out.unsqueeze(0), None


AttentionInterface.register(ATTENTION_NAME, _attention)


def check_supported(config: PretrainedConfig) -> None:
    """Raise ValueError, saying why, for models the engine would compute wrongly."""
    text = config.get_text_config()
    if getattr(config, "is_encoder_decoder", False):
        raise ValueError(f"{config.model_type} is an encoder-decoder; the engine samples from decoder-only models")
    unknown = set(getattr(text, "layer_types", None) or ()) - _KNOWN_LAYERS
    if unknown:
        raise ValueError(f"{config.model_type} has layers the engine does not compute: {', '.join(sorted(unknown))}")
    rope = getattr(text, "rope_parameters", None) or {}
    if rope.get("rope_type") in _LENGTH_DEPENDENT_ROPE:
        raise ValueError(
            f"{config.model_type} rescales its positions with the length of the text (rope type "
            f"{rope['rope_type']!r}), which stored prefixes cannot follow"
        )


class TreeModel:
    """A causal language model whose forward pass takes rows instead of padded sequences."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._module = module

    @torch.inference_mode()
    def forward(self, tokens: Tensor, step: Step, keep: Tensor) -> Tensor:
        """tokens int64 (rows,) -> logits (len(keep), vocabulary) of the rows in `keep` (int64)."""
        output = self._module(
            input_ids=tokens[None],
            position_ids=step.positions[None],
            logits_to_keep=keep,
            use_cache=False,
            tree_step=step,
        )
        logits: Tensor = output.logits[0]
        return logits
