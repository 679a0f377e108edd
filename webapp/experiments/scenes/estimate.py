"""What a scene experiment will take: counted where it can be, measured where an earlier one of the same sizes ran."""

from __future__ import annotations

from statistics import median

from engine.cost import gpu_dollars
from engine.scenes.memory import rough_memory
from jobs.kinds.base import SpecError
from jobs.kinds.scenes.checks import scene_set
from jobs.kinds.scenes.models import GeneratedScene, SceneRun
from jobs.kinds.scenes.plan import budgets
from jobs.kinds.scenes.spec import FREEDOOM, ROOMS, TRAINED, ScenesSpec
from webapp.accounts.models import Team
from webapp.experiments.kind_forms import Estimate
from webapp.experiments.kind_forms import EstimateRow as Row
from webapp.experiments.sampling.amounts import write_dollars
from webapp.experiments.sampling.estimate import known_devices
from webapp.prices.lookup import gpu_price
from webapp.prices.table import prices_of
from webapp.templatetags.experiments import duration, size

MEASURED = "measured"
COUNTED = "counted from the sizes"
_EARLIER = 5  # runs
_SIZES = {  # what decides how long a step of a stage takes, beside the device
    "autoencoder": (
        "grid", "image_size", "stride", "channels", "bins", "samples", "width", "scene_batch", "views_given",
        "views_asked",
    ),
    "latents": ("grid", "channels", "latent_width", "g", "c_channels", "f_channels", "codebook", "scene_batch"),
    "diffusion": ("grid", "groups", "denoiser_width", "c_channels", "f_channels", "diffusion_batch"),
}  # fmt: skip
_VIEWS_OF_FREEDOOM = 40


def estimate(spec: ScenesSpec, team: Team) -> Estimate:
    """Rows for the form. Unknown parts say so instead of guessing."""
    try:
        data = _data(spec, team)
    except SpecError as error:
        return Estimate(note=str(error))
    if not spec.train:
        return Estimate(data, "The pictures and cameras are read and checked, and nothing is trained.")
    rates = {stage: measured_rate(spec, stage) for stage in TRAINED}
    rows = [*data, *_memory(spec)]
    steps = budgets(spec)
    seconds = 0.0
    for stage, title in TRAINED.items():
        rate = rates[stage]
        if rate is None:
            rows.append(Row(title, f"{steps[stage]:,} steps"))
        else:
            rows.append(Row(title, f"{steps[stage]:,} steps, {duration(max(1.0, steps[stage] / rate))}", MEASURED))
            seconds += steps[stage] / rate
    unknown = [TRAINED[stage].lower() for stage, rate in rates.items() if rate is None]
    if unknown:
        rows.append(Row("Training time", "not known yet"))
        return Estimate(
            rows, f"How fast the {' and the '.join(unknown)} trains at these sizes is known after the first run."
        )
    drawing = measured_drawing(spec)
    if drawing is not None:
        rows.append(Row(f"{spec.scenes} scenes", f"about {duration(max(1.0, drawing * spec.scenes))}", MEASURED))
        seconds += drawing * spec.scenes
    rows.append(Row("Altogether", f"about {duration(max(1.0, seconds))} on one worker", MEASURED))
    rows += _price(seconds, team)
    return Estimate(rows, "From earlier runs of these sizes; without reading the data and measuring.")


def _data(spec: ScenesSpec, team: Team) -> list[Row]:
    if spec.data == ROOMS:
        return [Row("To train on", f"{spec.rooms:,} rooms")]
    if spec.data == FREEDOOM:
        scenes = spec.maps * spec.scenes_per_map
        return [Row("To train on", f"{scenes:,} scenes, {scenes * _VIEWS_OF_FREEDOOM:,} views")]
    found = scene_set(spec, team)
    counts = found.counts if found else {}
    return [Row("In the set", f"{counts.get('scenes', 0):,} scenes, {counts.get('views', 0):,} views")]


def _memory(spec: ScenesSpec) -> list[Row]:
    """Of a step of the scene auto-encoder, the largest: measured, else counted, and what the workers have."""
    found = _earlier(spec, "autoencoder").values_list("progress__memory", flat=True)
    told = [float(each) for each in found if each]
    if told:
        rows = [Row("GPU memory", f"about {size(int(max(told)))}", MEASURED)]
    else:
        counted = rough_memory(
            grid=spec.voxels, channels=spec.channels, bins=spec.bins, scenes=spec.scene_batch,
            views=spec.views_given + spec.views_asked, size=spec.image_size, stride=spec.stride, width=spec.width,
        )  # fmt: skip
        rows = [Row("Memory of a step", f"about {size(counted)}", COUNTED)]
    devices = known_devices()
    if devices and devices[0].memory_total:
        rows.append(Row("A worker has", size(devices[0].memory_total), devices[0].name))
    return rows


def measured_rate(spec: ScenesSpec, stage: str) -> float | None:
    """Steps a second in earlier runs of the same sizes, the median; None without any."""
    found = _earlier(spec, stage).values_list("progress__steps_per_second", flat=True)
    rates = [float(each) for each in found if each]
    return median(rates) if rates else None


def _earlier(spec: ScenesSpec, stage: str):  # type: ignore[no-untyped-def]  # a sliced QuerySet has no name of its own
    like = {f"experiment__spec__{name}": getattr(spec, name) for name in _SIZES[stage]}
    return SceneRun.objects.filter(stage=stage, stopped="finished", **like).order_by("-pk")[:_EARLIER]


def measured_drawing(spec: ScenesSpec) -> float | None:
    """Seconds of one scene, from earlier ones of the same grid and steps."""
    names = ("grid", "denoiser_width", "groups", "steps_g", "steps_c", "steps_f")
    like = {f"experiment__spec__{name}": getattr(spec, name) for name in names}
    drawn = GeneratedScene.objects.filter(
        state=GeneratedScene.State.DRAWN, operation=GeneratedScene.Operation.NEW, **like
    )
    told = [float(each) for each in drawn.order_by("-pk").values_list("values__seconds", flat=True)[:20] if each]
    return median(told) if told else None


def _price(seconds: float, team: Team) -> list[Row]:
    """By the hourly price of the kind of device that GPU workers report, where they all are of one kind."""
    devices = known_devices()
    if len(devices) != 1:
        return []
    _, price = gpu_price(devices[0].name, prices_of(team))
    if price is None:
        return []
    dollars = float(gpu_dollars(max(1.0, seconds), price))
    return [Row("US$", f"about {write_dollars(dollars)}", f"${price.per_hour:g} an hour, {price.as_of}, {price.table}")]
