"""What a sampling experiment will take: sizes from the model's description, speed and lengths from earlier runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db.models import Avg, Exists, OuterRef, Q, QuerySet

from engine.cost import estimate as engine_estimate
from engine.cost import fit as engine_fit
from engine.cost import gpu_dollars, token_dollars
from engine.models import DEMO_MODEL, ModelError, ModelShape, model_shape
from engine.problems import Problem
from jobs import metrics
from jobs.devices import Processor
from jobs.kinds.sampling.models import Sample
from jobs.kinds.sampling.plan import SCORE, block_shape
from jobs.kinds.sampling.sources import resolve_model
from jobs.kinds.sampling.spec import QUESTION, SamplingSpec
from jobs.kinds.sampling.speed import TOKENS_PER_SECOND
from jobs.live import alive_workers
from jobs.models import Experiment, MetricSpan, Queue, Shard, ShardStatus
from webapp.accounts.models import Team
from webapp.experiments.kind_forms import Estimate
from webapp.experiments.kind_forms import EstimateRow as Row
from webapp.experiments.sampling.amounts import write_dollars
from webapp.prices.lookup import gpu_price, token_price
from webapp.prices.table import prices_of
from webapp.templatetags.experiments import duration, size

EARLIER_RUNS = 5
EARLIER_SHARDS = 20
MOST_DEVICES = 3
EARLIER_SAMPLES = 2_000  # enough for a mean length; never a scan of millions
# English text in the vocabularies of current models. Only the prompt's length is guessed from it.
CHARACTERS_PER_TOKEN = 4


# How a figure is known. What needs no word has none.
MEASURED = "measured"
GUESS = "guess"
BOUND = "upper bound"
SIZES = "from the model's sizes"


@dataclass(frozen=True, slots=True)
class Measured:
    """What earlier runs of the model say; None where none has."""

    tokens_per_second: float | None = None  # of one worker
    mean_tokens: float | None = None
    runs: int = 0
    own_team: bool = True


@dataclass(frozen=True, slots=True)
class Lengths:
    """Of prompts, in tokens. Guessed from the number of characters, since tokenizing needs the model."""

    root: int  # what all samples share
    prompt: int  # of one problem, the mean
    longest: int  # of one problem; the engine keeps room of this length for each


def estimate(spec: SamplingSpec, problems: list[Problem], team: Team) -> Estimate:
    """Rows for the form. Unknown parts say so instead of guessing."""
    samples = len(problems) * spec.samples
    measured = measure(spec, team)
    drawn = Row("Samples", f"at most {samples:,}", BOUND) if spec.stop_when_solved else Row("Samples", f"{samples:,}")
    rows = [Row("Problems", f"{len(problems):,}"), drawn]
    shape = known_shape(spec)
    if shape is None:
        rows += [
            Row("Tokens drawn", f"at most {compact(samples * spec.max_tokens)}", BOUND),
            Row("Memory", "not known yet"),
            Row("Run time", "not known yet"),
        ]
        return Estimate(rows, "The model is not on this machine yet. Its sizes are known after the first run.")
    lengths = _lengths(spec, problems)
    share = measured.mean_tokens / spec.max_tokens if measured.mean_tokens else None
    told = engine_estimate(
        shape,
        problems=len(problems),
        samples=spec.samples,
        root_tokens=lengths.root,
        prompt_tokens=lengths.prompt,
        max_tokens=spec.max_tokens,
        mean_output_share=min(1.0, share) if share else 1.0,
        tokens_per_second=measured.tokens_per_second,
    )
    rows += [
        Row("Tokens drawn", f"about {compact(told.output_tokens_expected)}", MEASURED)
        if share
        else Row("Tokens drawn", f"at most {compact(told.output_tokens_max)}", BOUND),
        Row("Prompt tokens", f"about {compact(told.prompt_tokens)}", GUESS),
        Row("Saved by sharing", f"{compact(told.prompt_tokens_per_request - told.prompt_tokens)} tokens", GUESS),
        Row("Weights", size(told.weight_bytes), SIZES),
        Row("Keys and values", f"{size(shape.kv_bytes_per_token)} a token", SIZES),
        *_fits(spec, shape, len(problems), lengths),
        *_speed(measured, told.seconds),
        *_price(measured, told.seconds, team),
    ]
    note = f"{_note(measured)} As if every sample were drawn; a problem that is solved takes fewer."
    return Estimate(rows, note.strip() if spec.stop_when_solved else _note(measured))


def hosted_estimate(spec: SamplingSpec, problems: list[Problem], team: Team) -> Estimate:
    """What an endpoint will be asked for. How long its prompts are is a guess: each service has its own tokens."""
    samples = len(problems) * spec.samples
    rows = [
        Row("Problems", f"{len(problems):,}"),
        Row("Samples", f"at most {samples:,}" if spec.stop_when_solved else f"{samples:,}"),
        Row("Tokens drawn", f"at most {compact(samples * spec.max_tokens)}", BOUND),
    ]
    price = token_price(spec.model, prices_of(team))
    if price is not None:
        lengths = _lengths(spec, problems)
        most = float(samples * token_dollars(price, lengths.root + lengths.prompt, spec.max_tokens))
        rows.append(Row("US$", f"at most {write_dollars(most)}", f"prompts guessed; {price.as_of}, {price.table}"))
    return Estimate(rows, "A hosted model: the service counts what it charges for, and the experiment shows it.")


def _fits(spec: SamplingSpec, shape: ModelShape, problems: int, lengths: Lengths) -> list[Row]:
    """What the engine would draw at once on each kind of device that GPU workers report."""
    devices = known_devices()
    if not devices:
        return [Row("Answers at once", "no GPU worker is running")]
    height, width = block_shape(problems, spec.samples)
    rows = []
    for device in devices[:MOST_DEVICES]:
        assert device.memory_total is not None
        told = engine_fit(
            shape,
            memory_bytes=device.memory_total,
            on_gpu=device.is_gpu,
            problems=height,
            samples=min(width, spec.samples),
            root_tokens=lengths.root,
            prompt_tokens=lengths.longest,
            max_tokens=spec.max_tokens,
        )
        if told.batch:
            value = f"{told.batch:,}, in {size(told.bytes)} of {size(device.memory_total)}"
        elif shape.weight_bytes > device.memory_total:
            value = f"none: the weights are larger than its {size(device.memory_total)}"
        else:
            value = f"none fits in its {size(device.memory_total)}"
        rows.append(Row("Answers at once", value, f"on {device.name}"))
    return rows


def scoring_rows(spec: SamplingSpec, samples: int) -> list[Row]:
    """What the reward model will take, from the last shards that it scored on these workers; none without one."""
    if not spec.scorer:
        return []
    earlier = Shard.objects.filter(
        stage=SCORE, status=ShardStatus.DONE, payload__scorer=spec.scorer_name, started_at__isnull=False
    ).order_by("-pk")[:EARLIER_SHARDS]
    times = [
        (shard.done - shard.resumed_from, (shard.finished_at - shard.started_at).total_seconds())
        for shard in earlier
        if shard.started_at and shard.finished_at
    ]
    scored, seconds = sum(count for count, _ in times), sum(time for _, time in times)
    if not scored or not seconds:
        return [Row("Scoring", "not known yet")]
    return [Row("Scoring", f"about {duration(max(1.0, samples * seconds / scored))}", MEASURED)]


def known_devices() -> list[Processor]:
    """One of each kind that the living GPU workers draw on, the largest first. A worker draws on its first GPU."""
    found = {}
    for told in alive_workers().filter(queue=Queue.GPU).values_list("processors", flat=True):
        if told and told[0].get("memory_total"):
            processor = Processor(**told[0])
            found[processor.name, processor.memory_total] = processor
    return sorted(found.values(), key=lambda one: (one.is_gpu, one.memory_total), reverse=True)


def measure(spec: SamplingSpec, team: Team) -> Measured:
    """Speed and answer length in the last runs with this model: the team's own, else anybody's on these workers.

    A speed is a property of the workers, so another team's may be used; nothing else about that team is told.
    """
    timed = MetricSpan.objects.filter(experiment=OuterRef("pk"), totals__has_key=TOKENS_PER_SECOND)
    of_model = Experiment.objects.filter(Exists(timed), kind="sampling", spec__model=spec.model).order_by("-pk")
    for own_team in (True, False):
        runs = of_model.filter(Q(team=team) if own_team else ~Q(team=team))
        latest = list(runs.values_list("pk", flat=True)[:EARLIER_RUNS])
        if speed := metrics.means(latest, TOKENS_PER_SECOND):
            alike = Experiment.objects.filter(pk__in=latest, spec__max_tokens=spec.max_tokens)
            return Measured(speed.one_worker, _mean_length(alike), len(latest), own_team)
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


def _lengths(spec: SamplingSpec, problems: list[Problem]) -> Lengths:
    around = len(spec.template.replace(QUESTION, ""))
    questions = [len(problem.question) for problem in problems] or [0]
    return Lengths(
        root=_tokens(spec.system) + sum(_tokens(one.question + one.answer) for one in spec.few_shot),
        prompt=_tokens(" " * round(around + sum(questions) / len(questions))),
        longest=_tokens(" " * (around + max(questions))),
    )


def _speed(measured: Measured, seconds: float | None) -> list[Row]:
    if measured.tokens_per_second is None or seconds is None:
        return [Row("Run time", "not known yet")]
    word = "about" if measured.mean_tokens else "at most"
    return [
        Row("Speed", f"{measured.tokens_per_second:,.0f} tokens a second", "measured, of one worker"),
        Row("Run time", f"{word} {duration(max(1.0, seconds))}", "on one worker, at that speed"),
    ]


def _price(measured: Measured, seconds: float | None, team: Team) -> list[Row]:
    """By the hourly price of the kind of device that GPU workers report, where they all are of one kind."""
    devices = known_devices()
    if measured.tokens_per_second is None or seconds is None or len(devices) != 1:
        return []
    _, price = gpu_price(devices[0].name, prices_of(team))
    if price is None:
        return []
    word = "about" if measured.mean_tokens else "at most"
    dollars = float(gpu_dollars(max(1.0, seconds), price))
    return [
        Row("US$", f"{word} {write_dollars(dollars)}", f"${price.per_hour:g} an hour, {price.as_of}, {price.table}")
    ]


def _note(measured: Measured) -> str:
    if measured.tokens_per_second is None:
        return "This model has not run here yet, so its speed is unknown. Try the first look to find out."
    runs = f"{measured.runs} earlier run{'s' if measured.runs > 1 else ''}"
    whose = "your team's" if measured.own_team else "other teams'"
    return f"Measured in {whose} {runs} of this model."


def compact(number: float) -> str:
    """1234567 -> ``1.2M``."""
    for limit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g}{letter}"
    return f"{number:.0f}"
