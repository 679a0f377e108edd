"""The stages of a scene experiment. Pure functions: no database."""

from __future__ import annotations

from jobs.kinds.base import ShardPlan, StagePlan
from jobs.kinds.scenes.spec import TRAINED, ScenesSpec

COLLECT, AUTOENCODER, LATENTS, DIFFUSION = "collect", *TRAINED
SAMPLE, EVALUATE, GENERATE = "sample", "evaluate", "generate"
_SCENES_A_SHARD = 8


def budgets(spec: ScenesSpec) -> dict[str, int]:
    """Steps of each stage that is trained."""
    return {AUTOENCODER: spec.autoencoder_steps, LATENTS: spec.latent_steps, DIFFUSION: spec.diffusion_steps}


def shard_of(number: int) -> int:
    """The sample shard that draws scene ``number`` (from 1) of those that are planned."""
    return (number - 1) // _SCENES_A_SHARD


def stages(spec: ScenesSpec, asked: int = 0) -> list[StagePlan]:
    """Collect, three trainings one after the other, the scenes, their measures; ``asked``: how many scenes were asked
    for beside the plan, each a shard of its own."""
    collect = StagePlan(COLLECT, queue="cpu", unit="%", shards=[ShardPlan({}, 100)])
    if not spec.train:
        return [collect]
    shards = [
        ShardPlan({"first": first, "count": count}, count)
        for first in range(1, spec.scenes + 1, _SCENES_A_SHARD)
        for count in [min(_SCENES_A_SHARD, spec.scenes + 1 - first)]
    ]
    found = [
        collect,
        *(
            StagePlan(name, queue="gpu", unit="steps", shards=[ShardPlan({}, steps)])
            for name, steps in budgets(spec).items()
        ),
        StagePlan(SAMPLE, queue="gpu", unit="scenes", shards=shards),
    ]
    if spec.evaluate:
        found.append(StagePlan(EVALUATE, queue="gpu", unit="%", shards=[ShardPlan({}, 100)]))
    asides = [ShardPlan({"asked": index}, 1) for index in range(asked)]
    found.append(StagePlan(GENERATE, queue="gpu", unit="scenes", aside=True, shards=asides))
    return found
