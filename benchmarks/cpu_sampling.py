"""Sampling 64 times from one problem behind a shared few-shot prompt, on a CPU: python -m benchmarks.cpu_sampling

The engine, transformers' batched generate() and llama.cpp run one after the other in this process, on the same
model, the same prompt tokens and the same number of new tokens (the end token is ignored). Takes about five minutes.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import torch
from transformers import AutoModelForCausalLM, StoppingCriteriaList

from benchmarks._report import Row, write_report
from engine.models import DEMO_MODEL, Model, load_model, render_prompts
from engine.models.gguf_copy import dense_copy
from engine.models.packed import PackedLinear, pack_linears
from engine.models.sources import find_model
from engine.sampling import Engine, Request, SamplingParams

SAMPLES, NEW_TOKENS, SLOTS, THREADS = 64, 64, 16, 2
NOTES = (
    f"SmolLM2-135M-Instruct, {SAMPLES} samples of {NEW_TOKENS} tokens each behind one few-shot prompt, temperature "
    "0.8. 'all' counts computing the prompt; 'decode' has the prompt computed already: in the engine's tree, in all "
    f"{SLOTS} slots of llama.cpp, and for transformers the time up to the first new token is taken off. Engine and "
    "transformers run in bf16, llama.cpp on the 4-bit GGUF file with its default top-k of 40 (less work than the whole "
    "vocabulary); its prebuilt package uses AVX2, not AVX-512. floor: the step's matrix products alone."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache-dir", type=Path, default=Path(gettempdir()) / "canopy-models")
    cache_dir = parser.parse_args().cache_dir
    torch.set_num_threads(THREADS)
    model = load_model(DEMO_MODEL, cache_dir=cache_dir, device="cpu")
    root, prompt = build_prompt(model)
    engine_all, engine_decode = time_engine(model, root, prompt)
    del model
    gc.collect()
    hf: Any = AutoModelForCausalLM.from_pretrained(
        dense_copy(find_model(DEMO_MODEL).path, cache_dir), dtype=torch.bfloat16
    )
    hf_all, hf_decode = time_transformers(hf, root + prompt)
    pack_linears(hf)
    floor = SAMPLES / time_matrix_products(hf)
    del hf
    gc.collect()
    cpp_all, cpp_decode = time_llama_cpp(root + prompt)
    case = f"{len(root)} + {len(prompt)} prompt tokens"
    rows = [
        _speed(case, "all", engine_all, hf_all, cpp_all, None),
        _speed(case, "decode", engine_decode, hf_decode, cpp_decode, floor),
        Row(case, "all, Canopy / transformers", "x", engine_all / hf_all, goal=">= 3"),
        Row(case, "decode, Canopy / transformers", "x", engine_decode / hf_decode, goal=">= 3"),
        Row(case, "all, Canopy / llama.cpp", "x", engine_all / cpp_all, goal="> 1"),
        Row(case, "decode, Canopy / llama.cpp", "x", engine_decode / cpp_decode, goal="> 1"),
    ]
    title = "Repeated sampling on a CPU"
    write_report("cpu-sampling", title, rows, packages=["torch", "transformers", "xllamacpp"], notes=NOTES)


def _speed(case: str, part: str, engine: float, hf: float, cpp: float, floor: float | None) -> Row:
    return Row(case, part, "tokens/s", engine, floor, {"transformers generate": hf, "llama.cpp": cpp})


def build_prompt(model: Model) -> tuple[list[int], list[int]]:
    few_shot = [
        (
            f"Tom has {n} apples and buys {n + 3} more, then gives {n - 1} of them to his sister Ann. How many apples "
            "does Tom have now?",
            f"Tom starts with {n} apples. After buying {n + 3} more he has {2 * n + 3}. He gives away {n - 1}, so "
            f"{n + 4} are left. The answer is {n + 4}.",
        )
        for n in range(2, 15)
    ]
    question = "A box holds 6 pens. Mia buys 7 boxes and loses 5 pens. How many pens does she have?"
    root, [prompt] = render_prompts(
        model.tokenizer, template="{question}", few_shot=few_shot, questions=[question], chat=True, system="Solve it."
    )
    return root, prompt


def time_engine(model: Model, root: list[int], prompt: list[int]) -> tuple[float, float]:
    """(all, decode) in tokens/s."""
    endless = dataclasses.replace(model, eos_ids=frozenset())
    params = SamplingParams(temperature=0.8, max_tokens=NEW_TOKENS)

    def draw(engine: Engine, samples: int, new_tokens: int) -> int:
        request = Request(problem=0, prompt=tuple(prompt), indices=tuple(range(samples)))
        wanted = dataclasses.replace(params, max_tokens=new_tokens)
        return sum(sample.tokens for sample in engine.generate(root, [request], wanted))

    draw(Engine(endless), 2, 2)  # first use allocates and picks kernels
    engine = Engine(endless, max_batch=SAMPLES)
    everything = _time("engine, all", lambda: draw(engine, SAMPLES, NEW_TOKENS))
    warm = _time("engine, root computed", lambda: draw(engine, SAMPLES, NEW_TOKENS))
    return SAMPLES * NEW_TOKENS / everything, SAMPLES * NEW_TOKENS / warm


def time_matrix_products(model: torch.nn.Module) -> float:
    """Seconds of one step's matrix products with a batch of SAMPLES, nothing else. The model's weights are packed."""
    layers = [module for module in model.modules() if isinstance(module, PackedLinear)]
    inputs = {size: torch.randn(SAMPLES, size).bfloat16() for size in {layer.in_features for layer in layers}}

    @torch.inference_mode()
    def step() -> None:
        for layer in layers:
            layer(inputs[layer.in_features])

    step()
    return min(_time("matrix products", step) for _ in range(5))


def time_transformers(model: Any, prompt: list[int]) -> tuple[float, float]:
    """(all, decode) in tokens/s."""
    rows = torch.tensor([prompt] * SAMPLES)

    def generate(batch: int, new_tokens: int) -> float:
        """Runs generate(); returns when its first new tokens were there."""
        stamps: list[float] = []

        def stamp(ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
            stamps.append(time.perf_counter())
            return torch.zeros(len(ids), dtype=torch.bool)

        with torch.inference_mode():
            model.generate(
                rows[:batch],
                attention_mask=torch.ones_like(rows[:batch]),
                do_sample=True,
                temperature=0.8,
                top_k=0,
                min_new_tokens=new_tokens,
                max_new_tokens=new_tokens,
                pad_token_id=0,
                stopping_criteria=StoppingCriteriaList([stamp]),
            )
        return stamps[0]

    generate(2, 2)
    begin = time.perf_counter()
    first = generate(SAMPLES, NEW_TOKENS)
    end = time.perf_counter()
    print(f"transformers: {first - begin:.2f} s to the first token, {end - first:.2f} s for the rest", flush=True)
    return SAMPLES * NEW_TOKENS / (end - begin), SAMPLES * (NEW_TOKENS - 1) / (end - first)


def time_llama_cpp(prompt: list[int]) -> tuple[float, float]:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(find_model(DEMO_MODEL).path)
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * (len(prompt) + NEW_TOKENS + 32)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = THREADS
    params.verbosity = 0
    server = xllamacpp.Server(params)

    def complete(seed: int, new_tokens: int) -> int:
        answer = server.handle_completions(
            {
                "prompt": prompt,
                "n_predict": new_tokens,
                "temperature": 0.8,
                "seed": seed,
                "ignore_eos": True,
                "cache_prompt": True,
            }
        )
        return int(answer["usage"]["completion_tokens"])

    def draw(samples: int, new_tokens: int) -> int:
        with ThreadPoolExecutor(SLOTS) as pool:
            return sum(pool.map(lambda seed: complete(seed, new_tokens), range(samples)))

    prompts = _time("llama.cpp, prompt in every slot", lambda: draw(SLOTS, 1))
    drawn = 0

    def all_samples() -> None:
        nonlocal drawn
        drawn = draw(SAMPLES, NEW_TOKENS)

    warm = _time("llama.cpp, prompts computed", all_samples)
    if drawn != SAMPLES * NEW_TOKENS:
        raise RuntimeError(f"llama.cpp drew {drawn} tokens instead of {SAMPLES * NEW_TOKENS}: the work is not equal")
    return drawn / (prompts + warm), drawn / warm


def _time(label: str, work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    seconds = time.perf_counter() - begin
    print(f"{label}: {seconds:.2f} s", flush=True)
    return seconds


if __name__ == "__main__":
    main()
