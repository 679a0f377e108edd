"""What a sampling experiment will take: sizes from the model's description, speed and lengths from earlier runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db.models import Avg, Q, QuerySet

from engine.problems import Problem
from engine.sampling import DEMO_MODEL, ModelError, ModelShape, model_shape
from engine.sampling import estimate as engine_estimate
from jobs.kinds.sampling.models import Sample
from jobs.kinds.sampling.sources import resolve_model
from jobs.kinds.sampling.spec import QUESTION, SamplingSpec
from jobs.models import Experiment, Metric
from webapp.accounts.models import Team
from webapp.experiments.kind_forms import Estimate

SPEED = "tokens_per_second"
EARLIER_RUNS = 5
EARLIER_SAMPLES = 2_000  # enough for a mean length; never a scan of millions
# English text in the vocabularies of current models. Only the prompt's length is guessed from it.
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Measured:
    """What earlier runs of the model say; None where none has."""

    tokens_per_second: float | None = None
    mean_tokens: float | None = None
    runs: int = 0
    own_team: bool = True


def estimate(spec: SamplingSpec, problems: list[Problem], team: Team) -> Estimate:
    """Rows for the form. Unknown parts say so instead of guessing."""
    samples = len(problems) * spec.samples
    measured = measure(spec, team)
    rows = [("Problems", f"{len(problems):,}"), ("Samples", f"{samples:,}")]
    shape = known_shape(spec)
    if shape is None:
        most = samples * spec.max_tokens
        rows += [
            ("Tokens drawn", f"at most {compact(most)}"),
            ("Memory", "not known yet"),
            ("Run time", "not known yet"),
        ]
        return Estimate(rows, "The model is not on this machine yet. Its sizes are known after the first run.")
    share = measured.mean_tokens / spec.max_tokens if measured.mean_tokens else None
    told = engine_estimate(
        shape,
        problems=len(problems),
        samples=spec.samples,
        root_tokens=_tokens(spec.system) + sum(_tokens(one.question + one.answer) for one in spec.few_shot),
        prompt_tokens=_mean_prompt(spec, problems),
        max_tokens=spec.max_tokens,
        mean_output_share=min(1.0, share) if share else 1.0,
        tokens_per_second=measured.tokens_per_second,
    )
    drawn = f"about {compact(told.output_tokens_expected)}" if share else f"at most {compact(told.output_tokens_max)}"
    rows += [
        ("Tokens drawn", drawn),
        ("Prompt tokens", f"about {compact(told.prompt_tokens)}"),
        ("Saved by sharing prompts", f"{compact(told.prompt_tokens_per_request - told.prompt_tokens)} tokens"),
        ("Memory, weights", size(told.weight_bytes)),
        ("Memory, 64 answers at once", size(told.kv_bytes)),
        ("Run time", _time(told.seconds, exact=share is not None)),
    ]
    return Estimate(rows, _note(measured))


def measure(spec: SamplingSpec, team: Team) -> Measured:
    """Speed and answer length in the last runs with this model: the team's own, else anybody's on these workers.

    A speed is a property of the workers, so another team's may be used; nothing else about that team is told.
    """
    for own_team in (True, False):
        of_model = Experiment.objects.filter(kind="sampling", spec__model=spec.model, metrics__name=SPEED)
        runs = of_model.filter(Q(team=team) if own_team else ~Q(team=team)).distinct().order_by("-pk")
        latest = list(runs.values_list("pk", flat=True)[:EARLIER_RUNS])
        if latest:
            speed = Metric.objects.filter(experiment__in=latest, name=SPEED).aggregate(mean=Avg("value"))["mean"]
            alike = Experiment.objects.filter(pk__in=latest, spec__max_tokens=spec.max_tokens)
            return Measured(speed, _mean_length(alike), len(latest), own_team)
    return Measured()


def _mean_length(experiments: QuerySet[Experiment]) -> float | None:
    latest = experiments.order_by("-pk").first()
    if latest is None:
        return None
    some = Sample.objects.filter(experiment=latest).order_by("id")[:EARLIER_SAMPLES]
    mean: float | None = some.aggregate(mean=Avg("tokens"))["mean"]
    return mean


def known_shape(spec: SamplingSpec) -> ModelShape | None:
    """The model's sizes, if they can be read without the network: a page must not wait for a download."""
    try:
        source = resolve_model(spec.model, settings.MODEL_DIRS)
        is_here = source == DEMO_MODEL or source.startswith("/")
        return model_shape(source) if is_here else _cached_shape(source)
    except ModelError:
        return None


def _cached_shape(hub_id: str) -> ModelShape | None:
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(hub_id, "config.json")
    return model_shape(str(Path(config).parent)) if isinstance(config, str) else None


def _tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def _mean_prompt(spec: SamplingSpec, problems: list[Problem]) -> int:
    around = len(spec.template.replace(QUESTION, ""))
    mean = sum(len(problem.question) for problem in problems) / max(1, len(problems))
    return _tokens(" " * round(around + mean))


def _time(seconds: float | None, *, exact: bool) -> str:
    from webapp.templatetags.experiments import duration

    if seconds is None:
        return "not known yet"
    return f"about {duration(seconds)}" if exact else f"at most {duration(seconds)}"


def _note(measured: Measured) -> str:
    if measured.tokens_per_second is None:
        return "This model has not run here yet, so its speed is unknown. Try the first look to find out."
    runs = f"{measured.runs} earlier run{'s' if measured.runs > 1 else ''}"
    whose = "your team's" if measured.own_team else "other teams'"
    return f"From {whose} {runs} of this model: {measured.tokens_per_second:,.0f} tokens a second on one worker."


def compact(number: float) -> str:
    """1234567 -> ``1.2M``."""
    for limit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g}{letter}"
    return f"{number:.0f}"


def size(n_bytes: int) -> str:
    """Bytes as ``270 MB`` or ``1.4 GB`` (decimal units)."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{max(1, round(n_bytes / 1e6))} MB"
