"""The runner side: draws, grades, scores and exports inside the warm runner process. No Django here."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.models import render_prompts
from engine.sampling import Request, Sample, SamplingParams
from engine.verification import Gold, Grader, Settings
from jobs.kinds.base import Context
from jobs.kinds.sampling import scoring
from jobs.kinds.sampling.export import write_tables
from jobs.kinds.sampling.hosted import generate_hosted
from jobs.kinds.sampling.importing import import_file
from jobs.kinds.sampling.sources import resolve_model
from jobs.kinds.sampling.speed import Speedometer
from jobs.kinds.sampling.wanted import Wanted

if TYPE_CHECKING:
    from engine.models import Model
    from engine.sampling import Engine

_MOST_SHRINKS = 8  # in a shard: to a tenth of the first budget


def run(stage: str, job: dict[str, Any], context: Context) -> None:
    """Do one shard of ``stage``."""
    stages = {"generate": generate, "grade": grade, "score": score, "export": write_tables, "import": import_file}
    stages[stage](job, context)


# --- generate ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Warm:
    """A loaded model and its engine."""

    source: str
    model: Model
    engine: Engine


_warm: Warm | None = None


def generate(job: dict[str, Any], context: Context) -> None:
    """Draw the missing samples of a shard's problems, a row for each as it finishes."""
    if "endpoint" in job:
        generate_hosted(job, context)
        return
    done = job["done"]
    context.progress(done)
    if not job["problems"]:
        return
    warm = _warm_up(resolve_model(job["model"], [Path(path) for path in job["model_dirs"]]), context)
    root, prompts = render_prompts(
        warm.model.tokenizer,
        template=job["prompt"]["template"],
        few_shot=[(question, answer) for question, answer in job["prompt"]["few_shot"]],
        questions=[problem["question"] for problem in job["problems"]],
        chat=job["prompt"]["chat"],
        system=job["prompt"]["system"],
    )
    requests = [
        Request(problem=problem["index"], prompt=tuple(prompt), indices=tuple(problem["missing"]))
        for problem, prompt in zip(job["problems"], prompts, strict=True)
    ]
    params = SamplingParams(**job["params"] | {"stop": tuple(job["params"]["stop"])})
    wanted = Wanted({request.problem: request.indices for request in requests}, context)
    for sample in _draw(warm.engine, root, requests, wanted, params, context):
        context.row(_row(sample))
        context.progress(done + wanted.settled)


def _draw(
    engine: Engine,
    root: Sequence[int],
    requests: Sequence[Request],
    wanted: Wanted,
    params: SamplingParams,
    context: Context,
) -> Iterator[Sample]:
    """Every sample that is wanted. When the device runs out of memory, a smaller budget draws what is still missing: a
    sample that was cut off meets the same noise again, so nothing is lost and nothing comes twice."""
    budget = engine.kv_budget
    for shrinks in count():
        left = [replace(request, indices=wanted.indices(request.problem)) for request in requests]
        speed = Speedometer(context)
        try:
            for sample in engine.generate(
                root, left, params, on_step=speed.step, cancelled=lambda: context.cancelled, solved=wanted.solved
            ):
                wanted.came(sample.problem, sample.index)
                yield sample
            # For the next shard, which may need more for one sample than this one held in all: a budget that was
            # measured by what a few samples held would refuse it.
            engine.kv_budget = int(budget * 0.75**shrinks)
            return
        except RuntimeError as error:
            # torch.OutOfMemoryError, or what CUDA says when a graph or a library asked for the memory.
            if "out of memory" not in str(error) or shrinks == _MOST_SHRINKS:
                raise
        finally:
            speed.report()
        # Only now: the exception's traceback held the failed step's tensors.
        before, after = engine.kv_budget, engine.shrink()
        context.log(
            f"Out of memory: the budget for keys and values shrinks from {before:,} to {after:,} tokens. Drawing goes "
            "on, and no sample is lost.",
            "warning",
        )


def _warm_up(source: str, context: Context) -> Warm:
    """The model of the last shard when it is the same one; else that is freed and this one loaded."""
    global _warm
    if _warm is None or _warm.source != source:
        from engine.models import load_model
        from engine.sampling import Engine

        _warm = None  # two large models at once would not fit
        scoring.forget()
        context.log(f"Loading {source}.")
        started = time.monotonic()
        model = load_model(source, cache_dir=context.data_dir / "cache")
        _warm = Warm(source, model, Engine(model))
        context.log(f"Loaded in {time.monotonic() - started:.1f} s on {model.device}.")
    return _warm


def _row(sample: Sample) -> dict[str, Any]:
    if not math.isfinite(sample.logprob):
        raise ValueError("The model gave no finite log-probability: its weights are broken, or overflow in 16 bits.")
    return {
        "problem": sample.problem,
        "index": sample.index,
        "seed": sample.seed,
        "tokens": sample.tokens,
        "logprob": sample.logprob,
        # Infinite where the model rules a token out; JSON has no such number.
        "self_certainty": sample.self_certainty if math.isfinite(sample.self_certainty) else None,
        "finish": sample.finish,
        "text": sample.text,
    }


# --- score ------------------------------------------------------------------------------------------------------------


def score(job: dict[str, Any], context: Context) -> None:
    """Score a shard's samples that have no score yet. The model that draws makes room for the one that scores."""
    global _warm
    if job["items"]:
        _warm = None
    scoring.score(job, context)


# --- grade ------------------------------------------------------------------------------------------------------------

_grader = Grader()


def grade(job: dict[str, Any], context: Context) -> None:
    """Grade a shard's ungraded samples, a row for each. The grader's child process stays warm between shards."""
    done = job["done"]
    context.progress(done)
    golds = {index: Gold(**gold) for index, gold in job["golds"].items()}
    items = [(item["text"], golds[str(item["problem"])]) for item in job["items"]]
    verdicts = _grader.grade(job["verifier"], items, Settings.of_job(job["settings"]), context.alive)
    for item, verdict in zip(job["items"], verdicts, strict=False):
        if context.cancelled:
            return
        context.row({"sample": item["sample"], **asdict(verdict)})
        done += 1
        context.progress(done)
