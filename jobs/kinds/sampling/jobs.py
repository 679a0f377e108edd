"""Makes the JSON-able jobs that runners get: only what is still missing, so that another attempt resumes exactly."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef

from engine.endpoint import find_endpoint, is_hosted
from engine.verification import Settings
from jobs.kinds.sampling.export import export_job
from jobs.kinds.sampling.importing import import_job
from jobs.kinds.sampling.models import Score, Verdict
from jobs.kinds.sampling.plan import EXPORT, GENERATE, GRADE, IMPORT, SCORE, work_of
from jobs.kinds.sampling.spec import SamplingSpec
from jobs.kinds.sampling.stopping import is_needed
from jobs.kinds.sampling.store import problems_of, samples_of
from jobs.models import Shard

_PARAMS = ("temperature", "top_p", "top_k", "min_p", "max_tokens", "stop", "seed")


def make_job(shard: Shard) -> dict[str, Any]:
    makers = {GENERATE: _generate_job, GRADE: _grade_job, SCORE: _score_job, EXPORT: export_job, IMPORT: import_job}
    return makers[shard.stage](shard)


def _generate_job(shard: Shard) -> dict[str, Any]:
    spec = SamplingSpec.model_validate(shard.experiment.spec)
    problems = problems_of(shard)
    drawn: dict[int, set[int]] = defaultdict(set)
    for problem, index in samples_of(shard, problems).values_list("problem__index", "index"):
        drawn[problem].add(index)
    work = work_of(shard.payload)
    missing = {
        index: [i for i in range(part.first, part.last) if i not in drawn[index] and is_needed(problems[index], i)]
        for part in work.parts
        for index in part.problems
    }
    values = spec.model_dump()
    return {
        **_hosted(spec),
        "done": work.size - sum(map(len, missing.values())),  # drawn, or not needed
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
            for index, indices in sorted(missing.items())
            if indices
        ],
    }


def _hosted(spec: SamplingSpec) -> dict[str, Any]:
    """For a model behind an endpoint: where it is and with which key. A job lives in memory only."""
    if not is_hosted(spec.model):
        return {}
    hosted = find_endpoint(spec.model, settings.ENDPOINTS)
    return {"hosted_model": hosted.model, "endpoint": asdict(settings.ENDPOINTS[hosted.endpoint])}


def _grade_job(shard: Shard) -> dict[str, Any]:
    spec = SamplingSpec.model_validate(shard.experiment.spec)
    problems = problems_of(shard)
    samples = samples_of(shard, problems)
    pending = (
        samples.filter(verdict=Verdict.PENDING)
        .order_by("index", "problem__index")
        .values_list("pk", "body__text", "problem__index")
    )
    items = [{"sample": pk, "text": text or "", "problem": index} for pk, text, index in pending]
    waiting = {item["problem"] for item in items}
    return {
        "done": work_of(shard.payload).size - len(items),  # graded, or never drawn
        "verifier": spec.verifier,
        "settings": verifier_settings(spec).as_job(),
        # Once for each problem: its tests may be large.
        "golds": {
            str(index): {"answer": problem.answer, "checks": problem.checks}
            for index, problem in problems.items()
            if index in waiting
        },
        "items": items,
    }


def _score_job(shard: Shard) -> dict[str, Any]:
    spec = SamplingSpec.model_validate(shard.experiment.spec)
    problems = problems_of(shard)
    samples = samples_of(shard, problems)
    scored = Score.objects.filter(
        scorer__experiment_id=shard.experiment_id, scorer__name=shard.payload["scorer"], sample=OuterRef("pk")
    )
    # Without a text there is nothing to score: imported results may lack some.
    missing = samples.exclude(Exists(scored)).filter(body__isnull=False).order_by("pk")
    items = [
        {"sample": pk, "text": text, "problem": index}
        for pk, text, index in missing.values_list("pk", "body__text", "problem__index")
    ]
    waiting = {item["problem"] for item in items}
    return {
        "done": work_of(shard.payload).size - len(items),  # scored, without a text, or never drawn
        "scorer": spec.scorer,
        "label": spec.scorer_label,
        "model_dirs": [str(path) for path in settings.MODEL_DIRS],
        "questions": {str(index): problem.question for index, problem in problems.items() if index in waiting},
        "items": items,
    }


def verifier_settings(spec: SamplingSpec) -> Settings:
    """The experiment's limits together with what the operator allows."""
    operators: dict[str, Any] = dict(settings.VERIFICATION)
    return Settings(
        seconds=spec.grade_seconds,
        memory_mb=spec.grade_memory,
        repeats=spec.grade_repeats,
        target=spec.grade_target,
        **operators,
    )
