"""Makes the JSON-able jobs that runners get: only what is still missing, so that another attempt resumes exactly."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django.conf import settings

from jobs.kinds.sampling.export import export_job
from jobs.kinds.sampling.models import Sample, Verdict
from jobs.kinds.sampling.plan import EXPORT, GENERATE, GRADE, Block
from jobs.kinds.sampling.spec import SamplingSpec
from jobs.kinds.sampling.store import problems_of
from jobs.models import Shard

_PARAMS = ("temperature", "top_p", "top_k", "min_p", "max_tokens", "stop", "seed")


def make_job(shard: Shard) -> dict[str, Any]:
    return {GENERATE: _generate_job, GRADE: _grade_job, EXPORT: export_job}[shard.stage](shard)


def _generate_job(shard: Shard) -> dict[str, Any]:
    spec = SamplingSpec.model_validate(shard.experiment.spec)
    block = Block.from_payload(shard.payload)
    problems = problems_of(shard)
    drawn: dict[int, set[int]] = defaultdict(set)
    pairs = Sample.objects.filter(
        problem__in=problems.values(), index__gte=block.first_sample, index__lt=block.last_sample
    ).values_list("problem__index", "index")
    for problem, index in pairs:
        drawn[problem].add(index)
    wanted = range(block.first_sample, block.last_sample)
    missing = {index: [i for i in wanted if i not in drawn[index]] for index in sorted(problems)}
    values = spec.model_dump()
    return {
        "done": sum(map(len, drawn.values())),
        "model": spec.model,
        "model_dirs": [str(path) for path in settings.MODEL_DIRS],
        "params": {name: values[name] for name in _PARAMS},
        "prompt": {
            "template": spec.template,
            "chat": spec.chat,
            "system": spec.system,
            "few_shot": [[example.question, example.answer] for example in spec.few_shot],
        },
        "problems": [
            {"index": index, "question": problems[index].question, "missing": indices}
            for index, indices in missing.items()
            if indices
        ],
    }


def _grade_job(shard: Shard) -> dict[str, Any]:
    block = Block.from_payload(shard.payload)
    samples = Sample.objects.filter(
        problem__in=problems_of(shard).values(), index__gte=block.first_sample, index__lt=block.last_sample
    )
    pending = (
        samples.filter(verdict=Verdict.PENDING)
        .order_by("index", "problem__index")
        .values_list("pk", "body__text", "problem__answer")
    )
    return {
        "done": samples.exclude(verdict=Verdict.PENDING).count(),
        "verifier": shard.experiment.spec["verifier"],
        "items": [{"sample": pk, "text": text or "", "gold": gold} for pk, text, gold in pending],
    }
