"""The generate stage for models behind an endpoint: same job, same rows as for a model of our own. No Django here."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from engine.endpoint import Endpoint, HostedSample, Params, Prompt, Request, generate
from jobs.kinds.sampling.speed import TOKENS_PER_SECOND
from jobs.kinds.sampling.wanted import Wanted

if TYPE_CHECKING:
    from jobs.kinds.base import Context

_METRIC_SECONDS = 1.0


def generate_hosted(job: dict[str, Any], context: Context) -> None:
    """Draw the missing samples of a shard's problems, a row for each as it arrives. Raises EndpointError."""
    done = job["done"]
    context.progress(done)
    requests = [Request(one["index"], one["question"], tuple(one["missing"])) for one in job["problems"]]
    prompt = Prompt(
        system=job["prompt"]["system"],
        few_shot=tuple((question, answer) for question, answer in job["prompt"]["few_shot"]),
        template=job["prompt"]["template"],
        chat=job["prompt"]["chat"],
    )
    values = {name: job["params"][name] for name in Params.__dataclass_fields__}
    params = Params(**values | {"stop": tuple(values["stop"])})
    endpoint = Endpoint(**job["endpoint"])
    since, tokens = time.monotonic(), 0
    wanted = Wanted({request.problem: request.indices for request in requests}, context)
    for sample in generate(
        endpoint,
        job["hosted_model"],
        prompt,
        requests,
        params,
        cancelled=lambda: context.cancelled,
        solved=wanted.solved,
    ):
        context.row(_row(sample))
        wanted.came(sample.problem, sample.index)
        context.progress(done + wanted.settled)
        tokens += sample.tokens or 0
        if (passed := time.monotonic() - since) >= _METRIC_SECONDS:
            context.metrics({TOKENS_PER_SECOND: tokens / passed}, passed)
            since, tokens = time.monotonic(), 0


def _row(sample: HostedSample) -> dict[str, Any]:
    return asdict(sample)
