"""What experiments really took: tokens, worker time, devices. A fixed number of queries for any number of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Avg, DurationField, ExpressionWrapper, F, Sum
from django.db.models.functions import Length

from engine.endpoint import is_hosted
from engine.models import ModelShape
from jobs.kinds.sampling.models import Problem
from jobs.kinds.sampling.plan import GENERATE
from jobs.kinds.sampling.spec import QUESTION, SamplingSpec
from jobs.models import Experiment, Queue, Shard, ShardStatus, Worker
from webapp.experiments.sampling.counters import Counters
from webapp.experiments.sampling.estimate import CHARACTERS_PER_TOKEN, known_shape


@dataclass(frozen=True, slots=True)
class Measured:
    """None where nothing is known."""

    model: str
    shape: ModelShape | None
    prompt_tokens: float | None  # of a problem, few-shot examples included; from characters
    output_tokens: float | None  # of a sample, the mean
    worker_seconds: float | None  # of a sample, while drawing
    device: str  # where it was drawn; "" when unknown or on several kinds
    charged_prompt_tokens: int = 0  # what a hosted model's service counted for all prompts


def measure(experiments: Sequence[Experiment], counters: Mapping[int, Counters]) -> dict[int, Measured]:
    """What is known about each experiment, by its id."""
    questions = _question_lengths(experiments)
    seconds, workers = _worker_seconds(experiments)
    devices = dict(Worker.objects.filter(name__in=set().union(*workers.values())).values_list("name", "device"))
    specs = {each.pk: _spec(each) for each in experiments}
    # Of an import the Spec keeps only what its file told; the rest would be defaults.
    models = {spec.model: spec for each in experiments if (spec := specs[each.pk]) and "model" in each.spec}
    shapes = {model: known_shape(spec) for model, spec in models.items() if not is_hosted(model)}
    return {
        each.pk: _measured(
            each,
            specs[each.pk],
            shapes.get(each.spec.get("model", "")),
            counters[each.pk],
            questions.get(each.pk),
            seconds.get(each.pk),
            {devices[name] for name in workers.get(each.pk, set()) if name in devices},
        )
        for each in experiments
    }


def _measured(
    experiment: Experiment,
    spec: SamplingSpec | None,
    shape: ModelShape | None,
    counters: Counters,
    question: float | None,
    seconds: float | None,
    devices: set[str],
) -> Measured:
    drawn = int(counters.drawn.sum())
    return Measured(
        model=str(experiment.spec.get("model", "")),
        shape=shape,
        prompt_tokens=_prompt_tokens(spec, question) if spec and question and "template" in experiment.spec else None,
        output_tokens=float(counters.tokens.sum()) / drawn if drawn and counters.tokens.any() else None,
        worker_seconds=seconds,
        device=devices.pop() if len(devices) == 1 else "",
        charged_prompt_tokens=int(counters.prompt_tokens.sum()),
    )


def _spec(experiment: Experiment) -> SamplingSpec | None:
    """None for a Spec that another version wrote and this one no longer reads."""
    try:
        return SamplingSpec.model_validate(experiment.spec)
    except ValueError:
        return None


def _question_lengths(experiments: Sequence[Experiment]) -> dict[int, float]:
    """Mean characters of an experiment's questions."""
    rows = Problem.objects.filter(experiment__in=experiments).values("experiment_id")
    return dict(rows.annotate(mean=Avg(Length("question"))).values_list("experiment_id", "mean"))


def _prompt_tokens(spec: SamplingSpec, question: float) -> float:
    """Prompts are not kept, so their length is told from characters, as the form's estimate does."""
    around = len(spec.system) + len(spec.template.replace(QUESTION, ""))
    around += sum(len(example.question) + len(example.answer) for example in spec.few_shot)
    return (around + question) / CHARACTERS_PER_TOKEN


def _worker_seconds(experiments: Sequence[Experiment]) -> tuple[dict[int, float], dict[int, set[str]]]:
    """Seconds of drawing per sample, and the workers that drew, by experiment id.

    Only finished shards count, and of a shard that was tried again only the last attempt with what it drew.
    """
    shards = Shard.objects.filter(
        experiment__in=experiments,
        stage=GENERATE,
        queue=Queue.GPU,  # a hosted model's shards wait for its service, on CPU workers
        status=ShardStatus.DONE,
        finished_at__isnull=False,
    )
    took = ExpressionWrapper(F("finished_at") - F("started_at"), output_field=DurationField())
    rows = shards.values("experiment_id", "worker").annotate(took=Sum(took), drawn=Sum(F("done") - F("resumed_from")))
    time: dict[int, timedelta] = {}
    drawn: dict[int, int] = {}
    workers: dict[int, set[str]] = {}
    for row in rows:
        pk = row["experiment_id"]
        time[pk] = time.get(pk, timedelta()) + (row["took"] or timedelta())
        drawn[pk] = drawn.get(pk, 0) + row["drawn"]
        workers.setdefault(pk, set()).add(row["worker"])
    seconds = {pk: time[pk].total_seconds() / drawn[pk] for pk in time if drawn[pk] > 0 and time[pk]}
    return seconds, workers


def time_title(device: str) -> str:
    """What the time of a worker on ``device`` is called: "GPU time", "CPU time", and "Worker time" where that is not
    known."""
    if not device:
        return "Worker time"
    return "CPU time" if device.startswith("CPU") else "GPU time"
