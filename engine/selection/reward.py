"""Scores (question, answer) pairs with a reward model from safetensors, through transformers. Needs torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from engine.coverage.bands import Floats
from engine.models.sources import ModelError, find_model, read_config

# From the last token's hidden state, shape (batch, width), to a score each, shape (batch,).
Head = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class RewardModel:
    """A loaded reward model. head: None for a sequence classifier, whose logit is the score."""

    source: str
    module: torch.nn.Module
    tokenizer: Any
    label: int
    head: Head | None
    max_tokens: int

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    def score(self, pairs: Sequence[tuple[str, str]], *, batch: int = 16) -> Floats:
        """The score of each (question, answer), shape (pairs,); higher is better. Raises ModelError for NaN scores.

        A pair is rendered by the tokenizer's chat template as a user's and an assistant's message, or, without a
        template, encoded as a text pair. Longer ones than the model's context lose tokens from the front of the
        question, so that the end of the answer, where its result stands, is always read.
        """
        scores = np.empty(len(pairs), dtype=np.float64)
        for chosen, found in self.batches(pairs, batch=batch):
            scores[chosen] = found
        return scores

    def batches(self, pairs: Sequence[tuple[str, str]], *, batch: int = 16) -> Iterator[tuple[list[int], Floats]]:
        """The same, a batch at a time as it is done: (places of its pairs, their scores).

        Pairs of like length share a batch, so little padding is computed; the longest come first, so what does not
        fit fails at once. A batch that is too large for the device's memory is halved.
        """
        ids = [self._encode(question, answer) for question, answer in pairs]
        order = sorted(range(len(ids)), key=lambda index: -len(ids[index]))
        while order:
            chosen = order[:batch]
            try:
                scores = self._forward([ids[index] for index in chosen])
            except RuntimeError as error:
                if "out of memory" not in str(error) or len(chosen) == 1:
                    raise
                batch = len(chosen) // 2
                continue
            if not np.isfinite(scores).all():
                raise ModelError(f"{self.source} gave NaN scores: its weights do not fit its configuration or dtype")
            del order[: len(chosen)]
            yield chosen, scores

    def _encode(self, question: str, answer: str) -> list[int]:
        if self.tokenizer.chat_template:
            messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            text = self.tokenizer.apply_chat_template(messages, tokenize=False)
            # The template writes the special tokens itself.
            ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        else:
            ids = self.tokenizer(question, answer)["input_ids"]
        return list(ids[-self.max_tokens :])

    @torch.inference_mode()
    def _forward(self, rows: Sequence[Sequence[int]]) -> Floats:
        longest = max(1, *(len(row) for row in rows))
        pad = self.tokenizer.pad_token_id
        # Padding is on the right, where no causal model can see it; the mask hides it from the others.
        ids = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows], device=self.device)
        lengths = torch.tensor([len(row) for row in rows], device=self.device)
        mask = (torch.arange(longest, device=self.device) < lengths[:, None]).long()
        output = self.module(input_ids=ids, attention_mask=mask)
        if self.head is None:
            scores = output.logits[:, self.label]
        else:
            last = output.last_hidden_state[torch.arange(len(rows), device=self.device), lengths - 1]
            scores = self.head(last)
            if scores.shape != (len(rows),):
                raise ModelError(f"the head of {self.source} must give shape ({len(rows)},), got {tuple(scores.shape)}")
        return np.asarray(scores.double().cpu().numpy())


def load_reward_model(
    source: str,
    *,
    device: str | None = None,
    dtype: torch.dtype | None = None,
    label: int | None = None,
    head: Head | None = None,
) -> RewardModel:
    """Load ``source`` (a folder or hub id, see engine.models.sources.find_model) to score answers.

    device: by default the GPU when there is one. dtype: bf16 on a GPU, else fp32. label: which output is the score,
    needed when a sequence classifier has several. head: an adapter for a model with a head of its own; the model's body
    is loaded and ``head`` gets the last token's hidden state (linear_head makes one from a file). Raises ModelError
    for anything but safetensors, for a model that brings Python code, and where the score is not settled.
    """
    files = find_model(source)
    if files.is_gguf:
        raise ModelError(f"{source} is a GGUF file; a reward model needs a folder with config.json and safetensors")
    target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = dtype or (torch.bfloat16 if target.type == "cuda" else torch.float32)
    if head is None:
        _check_has_score(files.path, source)
    loader = AutoModel if head else AutoModelForSequenceClassification
    module: Any = loader.from_pretrained(files.path, dtype=dtype, use_safetensors=True, trust_remote_code=False)
    module.to(target).eval().requires_grad_(False)
    if head is None:
        label = _label(module.config.num_labels, label, source)
    tokenizer = AutoTokenizer.from_pretrained(files.path, trust_remote_code=False)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token_id is None:
        raise ModelError(f"{source}'s tokenizer has neither a padding nor an end token")
    if module.config.pad_token_id is None:
        module.config.pad_token_id = tokenizer.pad_token_id  # by it a classifier finds each row's last token
    context = getattr(module.config, "max_position_embeddings", None) or tokenizer.model_max_length
    return RewardModel(source, module, tokenizer, label or 0, head, min(int(context), 32_768))


def linear_head(file: Path, weight: str, bias: str | None = None, *, row: int = 0) -> Head:
    """A head that is one row of a matrix of shape (outputs, width), by its name in a safetensors file."""
    if file.suffix != ".safetensors":
        raise ModelError(f"{file} is not a safetensors file")
    tensors = load_file(file)
    missing = [name for name in (weight, bias) if name and name not in tensors]
    if missing:
        raise ModelError(f"{file} has no tensor {missing[0]!r}; it has {', '.join(sorted(tensors)[:8])}")
    vector = tensors[weight][row]
    shift = tensors[bias][row] if bias else torch.zeros(())

    def head(hidden: torch.Tensor) -> torch.Tensor:
        return hidden @ vector.to(hidden) + shift.to(hidden)

    return head


def _label(outputs: int, label: int | None, source: str) -> int:
    if label is None and outputs != 1:
        raise ModelError(f"{source} has {outputs} outputs: say which is the score with label=0..{outputs - 1}")
    if label is not None and not 0 <= label < outputs:
        raise ModelError(f"{source} has {outputs} outputs, label {label} is not one of them")
    return label or 0


def _check_has_score(folder: Path, source: str) -> None:
    """Raise unless the checkpoint is a sequence classifier: transformers would fill a missing head with noise."""
    architectures = read_config(folder).get("architectures") or []
    if any(str(each).endswith("ForSequenceClassification") for each in architectures):
        return
    names = _tensor_names(folder.glob("*.safetensors"))
    if not any(name.startswith(("score.", "classifier.")) for name in names):
        raise ModelError(
            f"{source} is no sequence classifier ({', '.join(map(str, architectures)) or 'no architecture named'}): "
            "give the adapter of its head as head="
        )


def _tensor_names(paths: Iterable[Path]) -> set[str]:
    names: set[str] = set()
    for path in paths:
        with safe_open(path, framework="pt") as tensors:
            names |= set(tensors.keys())
    return names
