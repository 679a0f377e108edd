"""A real model: greedy decoding of SmolLM2 equals transformers token for token, with both runners."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from engine.models import DEMO_MODEL, load_model, render_prompts
from engine.models.gguf_copy import dense_copy
from engine.models.sources import find_model
from engine.sampling import Engine, Request, SamplingParams

NEW = 16


@pytest.mark.timeout(120)
def test_greedy_equals_transformers_in_fp32(tmp_path: Path) -> None:
    model = load_model(DEMO_MODEL, cache_dir=tmp_path, device="cpu", dtype=torch.float32)
    root, prompts = render_prompts(
        model.tokenizer,
        template="{question}",
        few_shot=[("What is 2 + 3?", "2 + 3 = 5.")],
        questions=["What is 7 + 5?", "Name three colours."],
        chat=True,
    )
    requests = [Request(problem, tuple(prompt), (0, 1)) for problem, prompt in enumerate(prompts)]
    params = SamplingParams(temperature=0, max_tokens=NEW)
    drawn = {}
    for paged in (False, True):
        for sample in Engine(model, max_batch=4, kv_budget_tokens=4096, paged=paged).generate(root, requests, params):
            drawn.setdefault(sample.problem, set()).add(sample.token_ids)
    folder = dense_copy(find_model(DEMO_MODEL).path, tmp_path)
    reference: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for problem, prompt in enumerate(prompts):
        ids = torch.tensor([[*root, *prompt]])
        with torch.inference_mode():
            expected = reference.generate(ids, max_new_tokens=NEW, do_sample=False)[0, ids.shape[1] :]
        assert drawn[problem] == {tuple(expected.tolist())}
