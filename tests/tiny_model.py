"""Complete Hugging Face model folders with tiny random weights, made in a second and without a download."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

VOCABULARY = 304
EOS = "<|im_end|>"
BOS = "<|im_start|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Merges learned from this text make some stop strings one token and others several, as in real tokenizers.
_CORPUS = (
    "Question: Tom has 3 apples and buys 4 more. How many apples does he have now?",
    "Answer: Tom has 3 + 4 = 7 apples. The answer is 7.",
    "Question: A train runs 60 miles in 2 hours. How many miles does it run in 1 hour?",
    "Answer: It runs 60 / 2 = 30 miles. The answer is 30.",
)
_SHARED: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
    # Larger than the usual 0.02, so that the distribution over tokens is far from uniform and the
    # tests compare logits that differ.
    "initializer_range": 0.3,
}
_OVERRIDES: dict[str, dict[str, Any]] = {
    "llama": {},
    "smollm": {"num_attention_heads": 3, "num_key_value_heads": 1, "hidden_size": 24},
    "mistral": {"sliding_window": None},
    "mistral_sliding": {"sliding_window": 12},
    "qwen2": {},
    "qwen3": {},
    "gemma": {"num_key_value_heads": 1},
    "gemma2": {"query_pre_attn_scalar": 16, "sliding_window": 10, "attn_logit_softcapping": 5.0},
    "gemma3": {
        "query_pre_attn_scalar": 16,
        "sliding_window": 10,
        "layer_types": ["sliding_attention", "full_attention"],
    },
}
FAMILIES = tuple(_OVERRIDES)
_MODEL_TYPE = {"smollm": "llama", "mistral_sliding": "mistral", "gemma3": "gemma3_text"}


def build_tiny_model(path: Path, family: str = "llama", *, seed: int = 0) -> Path:
    """Write config, safetensors, tokenizer (byte-level BPE, chat template, EOS) into `path` and return it.

    `family` is one of FAMILIES. The weights are random but fixed by `seed`; the vocabulary has about 300 tokens.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    path.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer()
    config = AutoConfig.for_model(
        _MODEL_TYPE.get(family, family),
        # Rounded up past the tokenizer, as real models are: a sample may draw an id that has no token.
        vocab_size=VOCABULARY,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **(_SHARED | _OVERRIDES[family]),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.save_pretrained(path, safe_serialization=True)
    tokenizer.save_pretrained(path)
    generation = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    (path / "generation_config.json").write_text(json.dumps(generation))
    return path


def build_tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=[BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(_CORPUS, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, bos_token=BOS, eos_token=EOS, pad_token=EOS)
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
