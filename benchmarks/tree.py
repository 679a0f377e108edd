"""A tree of prompts on a GPU: few-shot examples, problems below them, samples below those: python -m benchmarks.tree

The whole call counts: prompts, scheduling, the tail of the last samples. Sharing in a tree is compared with sharing the
few-shot examples only (a problem's prompt is computed and held per sample) and with no sharing.
"""

from __future__ import annotations

import argparse
import traceback
from collections.abc import Iterator, Sequence

from benchmarks._gpu import Timing, prompt_tokens, random_model, run_call, step_floor
from benchmarks._machine import Machine, free_memory, measure_machine
from benchmarks._report import Row, write_report
from engine.models import Model
from engine.sampling import Engine, Request, SamplingParams

FEW_SHOT, PROBLEMS, PROMPT, NEW, BATCH = 1024, 64, 200, 256, 1024
COMPARED = 16  # samples a problem in the comparison of sharing: one full batch
GOALS = {"Llama-3.2-1B": 100_000, "Llama-3-8B": 28_000}
# Tokens of keys and values in the comparison at equal memory: room for about a hundred samples that share nothing.
SMALL_BUDGET = 150_000
NOTES = (
    f"{FEW_SHOT} few-shot tokens, {PROBLEMS} problems of {PROMPT} tokens, {NEW} new tokens a sample, at most "
    f"{BATCH} at once; whole calls, prompts and scheduling included, one run each after a short one. Random bf16 "
    "weights, temperature 1, the end token ignored, no detokenisation. floor: all decode steps at the floor of one "
    f"step with a full batch, and the prompts' products at the matrix rate. Equal memory: {SMALL_BUDGET:,} tokens "
    "of keys and values."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="*", default=list(GOALS))
    parser.add_argument("--samples", nargs="*", type=int, default=[32, 128])
    parser.add_argument("--compare", nargs="*", default=["Llama-3.2-1B"], help="shapes for the comparison of sharing")
    arguments = parser.parse_args()
    machine = measure_machine()
    rows: list[Row] = []
    for name in arguments.shapes:
        model = random_model(name)
        try:
            for row in measure(model, machine, arguments.samples, compare=name in arguments.compare):
                rows.append(row)
                print(row, flush=True)
                write_report("tree", "A tree of prompts on one GPU", rows, packages=["torch", "triton"], notes=NOTES)
        except Exception:
            traceback.print_exc()
        del model  # frees the weights
        free_memory()


def measure(model: Model, machine: Machine, samples: Sequence[int], *, compare: bool) -> Iterator[Row]:
    engine = Engine(model, max_batch=BATCH)
    run(engine, model, "tree", 32, new=4)
    for each in samples:
        timing = run(engine, model, "tree", each)
        floor = tree_floor(model, machine, each)
        goal = f">= {GOALS[model.source]}"
        case = f"{model.source}, {PROBLEMS} x {each}"
        yield Row(case, "whole call", "tokens/s", timing.rate, timing.tokens / floor, goal=goal)
    if not compare:
        return
    case = f"{model.source}, {PROBLEMS} x {COMPARED}"
    yield from _compare(f"{case}, equal batch", engine, model)
    del engine
    free_memory()
    yield from _compare(f"{case}, equal memory", Engine(model, max_batch=BATCH, kv_budget_tokens=SMALL_BUDGET), model)


def _compare(case: str, engine: Engine, model: Model) -> Iterator[Row]:
    run(engine, model, "tree", COMPARED, new=4)
    rates = {}
    for sharing in ("tree", "few-shot only", "nothing"):
        timing = run(engine, model, sharing, COMPARED)
        rates[sharing] = timing.rate
        yield Row(case, f"sharing {sharing}", "tokens/s", timing.rate)
        yield Row(case, f"sharing {sharing}: samples at once", "", timing.batch)
    for other in ("few-shot only", "nothing"):
        yield Row(case, f"tree over {other}", "x", rates["tree"] / rates[other])


def run(engine: Engine, model: Model, sharing: str, samples: int, *, new: int = NEW) -> Timing:
    vocabulary = model.shape.vocabulary
    root = prompt_tokens(FEW_SHOT, 0, vocabulary)
    prompts = [prompt_tokens(PROMPT, 1 + problem, vocabulary) for problem in range(PROBLEMS)]
    if sharing == "tree":
        requests = [Request(problem, prompt, tuple(range(samples))) for problem, prompt in enumerate(prompts)]
    else:  # every sample is a problem of its own
        above = root if sharing == "nothing" else ()
        root = () if sharing == "nothing" else root
        requests = [
            Request(problem * samples + sample, (*above, *prompt), (sample,))
            for problem, prompt in enumerate(prompts)
            for sample in range(samples)
        ]
    return run_call(engine, root, requests, SamplingParams(temperature=1.0, max_tokens=new))


def tree_floor(model: Model, machine: Machine, samples: int) -> float:
    """Seconds: NEW steps of every full batch, each at its floor, and the prompts' products."""
    batch = min(BATCH, PROBLEMS * samples)
    open_problems = -(-batch // samples)
    step = step_floor(
        model.shape,
        machine,
        rows=batch,
        node_tokens=FEW_SHOT + open_problems * PROMPT,
        path_tokens=batch * (FEW_SHOT + PROMPT),
        suffix=NEW / 2,
    )
    prefill = 2 * model.shape.n_params * (FEW_SHOT + PROBLEMS * PROMPT) / machine.matrix_rate
    return step * NEW * PROBLEMS * samples / batch + prefill


if __name__ == "__main__":
    main()
