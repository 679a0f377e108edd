"""FLOPs of sampling by the formula of Brown et al. 2024 (arXiv 2407.21787v3, section 2.3). The paper calls it crude."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
# "once": the prompt's work is shared by all completions of a problem (prefix sharing, the paper's convention);
# "each": every completion pays for it, as without a prefix cache.
PromptCharge = Literal["once", "each"]


@dataclass(frozen=True, slots=True)
class ModelSize:
    """parameters: all of them; layers: transformer layers; width: the dimension of a token's vector."""

    parameters: float
    layers: int
    width: int


# Meta's published configurations; the paper compares these two.
LLAMA_3_8B = ModelSize(8.03e9, 32, 4096)
LLAMA_3_70B = ModelSize(70.6e9, 80, 8192)


def flops_per_token(size: ModelSize, length: npt.ArrayLike) -> Floats:
    """2 (parameters + 2 layers width length) for a token with ``length`` tokens up to and with itself."""
    return 2 * (size.parameters + 2 * size.layers * size.width * np.asarray(length, dtype=np.float64))


def prompt_flops(size: ModelSize, prompt_tokens: npt.ArrayLike) -> Floats:
    """The sum of flops_per_token over the prompt's tokens, in closed form."""
    tokens = np.asarray(prompt_tokens, dtype=np.float64)
    return 2 * size.parameters * tokens + 2 * size.layers * size.width * tokens * (tokens + 1)


def decode_flops(size: ModelSize, prompt_tokens: npt.ArrayLike, decode_tokens: npt.ArrayLike) -> Floats:
    """The sum of flops_per_token over one completion's tokens, which come after the prompt's."""
    prompt, decode = np.asarray(prompt_tokens, dtype=np.float64), np.asarray(decode_tokens, dtype=np.float64)
    return prompt_flops(size, prompt + decode) - prompt_flops(size, prompt)


def total_flops(
    size: ModelSize,
    prompt_tokens: npt.ArrayLike,
    decode_tokens: npt.ArrayLike,
    completions: npt.ArrayLike,
    prompt: PromptCharge = "once",
) -> Floats:
    """Of ``completions`` completions of ``decode_tokens`` tokens each to one prompt; arrays broadcast."""
    completions = np.asarray(completions, dtype=np.float64)
    times = completions if prompt == "each" else np.minimum(completions, 1)
    return np.asarray(
        times * prompt_flops(size, prompt_tokens) + completions * decode_flops(size, prompt_tokens, decode_tokens)
    )
