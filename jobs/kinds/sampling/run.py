"""The runner side: draws, grades and exports inside the warm runner process. No Django here."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.sampling import Request, Sample, SamplingParams, StepStats, render_prompts
from engine.verification import Grader
from jobs.kinds.base import Context
from jobs.kinds.sampling.export import write_tables
from jobs.kinds.sampling.hosted import generate_hosted
from jobs.kinds.sampling.importing import import_file
from jobs.kinds.sampling.sources import resolve_model

if TYPE_CHECKING:
    from engine.sampling import Engine, Model

_METRIC_SECONDS = 1.0


def run(stage: str, job: dict[str, Any], context: Context) -> None:
    """Do one shard of ``stage``."""
    {"generate": generate, "grade": grade, "export": write_tables, "import": import_file}[stage](job, context)


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
    speed = Speedometer(context)
    samples = warm.engine.generate(root, requests, params, on_step=speed.step, cancelled=lambda: context.cancelled)
    for sample in samples:
        context.row(_row(sample))
        done += 1
        context.progress(done)


def _warm_up(source: str, context: Context) -> Warm:
    """The model of the last shard when it is the same one; else that is freed and this one loaded."""
    global _warm
    if _warm is None or _warm.source != source:
        from engine.sampling import Engine, load_model

        _warm = None  # two large models at once would not fit
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
        "finish": sample.finish,
        "text": sample.text,
    }


class Speedometer:
    """Counts drawn tokens and reports tokens per second about once a second."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._tokens = 0
        self._since = time.monotonic()

    def step(self, stats: StepStats) -> None:
        self._context.alive()
        self._tokens += stats.new_tokens
        passed = time.monotonic() - self._since
        if passed >= _METRIC_SECONDS:
            self._context.metric("tokens_per_second", self._tokens / passed)
            self._tokens, self._since = 0, time.monotonic()


# --- grade ------------------------------------------------------------------------------------------------------------

_grader = Grader()


def grade(job: dict[str, Any], context: Context) -> None:
    """Grade a shard's ungraded samples, a row for each. The grader's child process stays warm between shards."""
    done = job["done"]
    context.progress(done)
    items = [(item["text"], item["gold"]) for item in job["items"]]
    verdicts = _grader.grade(job["verifier"], items, alive=context.alive)
    for item, verdict in zip(job["items"], verdicts, strict=False):
        if context.cancelled:
            return
        context.row({"sample": item["sample"], **asdict(verdict)})
        done += 1
        context.progress(done)
