"""The transformer layers of the Llama family over fused weights: what transformers computes, in fewer passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.nn.functional import linear

from engine.models.parallel import Group
from kernels.fused import gated_activation, rms_norm, rope_append

# Attention of q (rows, heads, size) over one layer's pool: attend(q, keys, values, scale=, softcap=, window=).
Attend = Callable[..., Tensor]
FAMILIES = {"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"}
_LARGEST_HEAD = 256  # of the attention kernels
_ACTIVATIONS: dict[str, Literal["silu", "gelu_tanh"]] = {
    "silu": "silu",
    "swish": "silu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_tanh": "gelu_tanh",
}


class Pool(Protocol):
    """Keys and values of all layers, (layers, ...); each layer's as `kernels.fused.rope_append` stores them."""

    keys: Tensor
    values: Tensor


@dataclass(slots=True)
class Layer:
    """One layer's weights. Norms that a family lacks are None."""

    qkv: Tensor  # ((heads + 2 * KV heads) * size, width)
    qkv_bias: Tensor | None
    out: Tensor  # (width, heads * size)
    out_bias: Tensor | None
    gate_up: Tensor  # (2 * MLP width, width)
    down: Tensor  # (width, MLP width)
    attention_norm: Tensor
    after_attention_norm: Tensor | None
    mlp_norm: Tensor
    after_mlp_norm: Tensor | None
    q_norm: Tensor | None
    k_norm: Tensor | None
    rope: tuple[Tensor, Tensor]  # cos, sin: fp32 (positions, size)
    scale: float
    softcap: float | None
    window: int | None


def is_supported(module: torch.nn.Module) -> bool:
    """Whether `Decoder` computes this transformers model."""
    config: Any = module.config
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return (
        config.model_type in FAMILIES
        and _activation(config) in _ACTIVATIONS
        and not getattr(config, "mlp_bias", False)
        and head_size <= _LARGEST_HEAD
    )


def _activation(config: Any) -> str:
    return str(getattr(config, "hidden_activation", None) or config.hidden_act)


class Decoder:
    """A causal language model whose rows stand on tree paths; keys and values go to and come from pages.

    The weights stay the module's own: its projections become views of the fused ones, so it still works and
    nothing is held twice. With a group the module has been split: it holds a share of the heads and of the MLP.
    """

    def __init__(self, module: torch.nn.Module, context: int, group: Group | None = None) -> None:
        model: Any = module
        config = model.config
        self.group = group or Group()
        self.heads = config.num_attention_heads // self.group.size
        self.kv_heads = config.num_key_value_heads // self.group.size
        self._embed = model.get_input_embeddings()
        self._head = model.get_output_embeddings()
        self._final_norm: Tensor = model.model.norm.weight
        self._eps: float = config.rms_norm_eps
        self._offset = 1.0 if config.model_type.startswith("gemma") else 0.0
        self._activation: Literal["silu", "gelu_tanh"] = _ACTIVATIONS[_activation(config)]
        self._logit_cap: float | None = getattr(config, "final_logit_softcapping", None)
        ropes: dict[str, tuple[Tensor, Tensor]] = {}
        self.layers = [self._layer(each, model.model.rotary_emb, ropes, context) for each in model.model.layers]

    def _layer(self, layer: Any, rotary: Any, ropes: dict[str, tuple[Tensor, Tensor]], context: int) -> Layer:
        attention, mlp = layer.self_attn, layer.mlp
        config = attention.config
        gemma_style = hasattr(layer, "pre_feedforward_layernorm")
        after = layer.post_attention_layernorm.weight
        kind = getattr(attention, "layer_type", None) or ""
        if kind not in ropes:
            ropes[kind] = _rope_table(rotary, kind, context)
        qkv, qkv_bias = self._join(attention.q_proj, attention.k_proj, attention.v_proj)
        gate_up, _ = self._join(mlp.gate_proj, mlp.up_proj)
        return Layer(
            qkv=qkv,
            qkv_bias=qkv_bias,
            out=attention.o_proj.weight,
            out_bias=attention.o_proj.bias,
            gate_up=gate_up,
            down=mlp.down_proj.weight,
            attention_norm=layer.input_layernorm.weight,
            after_attention_norm=after if gemma_style else None,
            mlp_norm=layer.pre_feedforward_layernorm.weight if gemma_style else after,
            after_mlp_norm=layer.post_feedforward_layernorm.weight if gemma_style else None,
            q_norm=attention.q_norm.weight if hasattr(attention, "q_norm") else None,
            k_norm=attention.k_norm.weight if hasattr(attention, "k_norm") else None,
            rope=ropes[kind],
            scale=attention.scaling,
            softcap=getattr(attention, "attn_logit_softcapping", None),
            # Mistral's layers have no attribute of their own and read the config.
            window=getattr(attention, "sliding_window", None)
            if hasattr(attention, "sliding_window")
            else (config.sliding_window if config.model_type == "mistral" else None),
        )

    def _join(self, *projections: torch.nn.Linear) -> tuple[Tensor, Tensor | None]:
        """One weight (and bias) for projections of the same input; their weights become views of it."""
        weight = torch.cat([each.weight for each in projections])
        for each, part in zip(
            projections, torch.split(weight, [len(each.weight) for each in projections]), strict=True
        ):
            each.weight.data = part
        biases: list[Tensor] = [each.bias for each in projections if each.bias is not None]
        return weight, torch.cat(biases) if biases else None

    def hidden(self, tokens: Tensor, positions: Tensor, slots: Tensor, pool: Pool, attend: Attend) -> Tensor:
        """tokens int64 (rows,), positions int32, pool slots int64 -> final hidden states (rows, width).

        Each layer stores the rows' keys and values in their slots, then calls `attend`.
        """
        eps, offset = self._eps, self._offset
        residual = self._embed(tokens)
        x: Any = rms_norm(residual, self.layers[0].attention_norm, eps, offset=offset)
        following = [*(layer.attention_norm for layer in self.layers[1:]), self._final_norm]
        for layer, next_norm, keys, values in zip(self.layers, following, pool.keys, pool.values, strict=True):
            q = rope_append(
                linear(x, layer.qkv, layer.qkv_bias),
                *layer.rope,
                positions,
                slots,
                keys,
                values,
                heads=self.heads,
                q_norm=layer.q_norm,
                k_norm=layer.k_norm,
                eps=eps,
                offset=offset,
            )
            x = attend(q, keys, values, scale=layer.scale, softcap=layer.softcap, window=layer.window)
            x = self.group.sum(linear(x.flatten(1), layer.out))
            if layer.out_bias is not None:
                x = x + layer.out_bias
            if layer.after_attention_norm is not None:
                x = rms_norm(x, layer.after_attention_norm, eps, offset=offset)
            x, residual = rms_norm(x, layer.mlp_norm, eps, residual=residual, offset=offset)
            x = gated_activation(linear(x, layer.gate_up), self._activation)
            x = self.group.sum(linear(x, layer.down))
            if layer.after_mlp_norm is not None:
                x = rms_norm(x, layer.after_mlp_norm, eps, offset=offset)
            x, residual = rms_norm(x, next_norm, eps, residual=residual, offset=offset)
        return x  # type: ignore[no-any-return]

    def logits(self, hidden: Tensor) -> Tensor:
        """(rows, width) -> (rows, vocabulary)."""
        logits: Tensor = self._head(hidden)
        if self._logit_cap is not None:
            logits = torch.tanh(logits / self._logit_cap) * self._logit_cap
        return logits


def _rope_table(rotary: Any, kind: str, context: int) -> tuple[Tensor, Tensor]:
    """cos and sin, fp32 (context, size), by the model's own rotary module; kind: its layer type, if it has several."""
    prefix = f"{kind}_" if hasattr(rotary, f"{kind}_inv_freq") else ""
    frequencies = getattr(rotary, f"{prefix}inv_freq").float()
    angles = torch.arange(context, device=frequencies.device)[:, None] * frequencies
    angles = torch.cat([angles, angles], dim=-1)
    factor = getattr(rotary, f"{prefix}attention_scaling")
    return angles.cos() * factor, angles.sin() * factor
