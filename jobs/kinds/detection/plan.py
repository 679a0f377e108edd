"""Which runs an experiment has, and its stages. Pure functions: no database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from engine.detection.rules import LabelRule
from jobs.kinds.base import ShardPlan, StagePlan
from jobs.kinds.detection.spec import ARCHITECTURES, RU, RULES, DetectionSpec

PREPARE, TRAIN, EVALUATE, EXPORT, TRY = "prepare", "train", "evaluate", "export", "try"
TRY_ANGLES = tuple(float(angle) for angle in range(0, 91, 10))


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One detector to train."""

    architecture: str
    rule: str
    delta: float | None
    seed: int

    @property
    def label(self) -> str:
        return f"{method_title(self.rule, self.delta)}, {ARCHITECTURES[self.architecture]}, seed {self.seed}"


def method_title(rule: str, delta: float | None) -> str:
    """A label rule with or without RU, as people call it."""
    title = RULES.get(rule) or f"Octagon, cut {LabelRule.parse(rule).cut:g}"
    return title if delta is None else f"{title} + RU {delta:g}°"


def runs(spec: DetectionSpec) -> list[RunPlan]:
    """Every combination, the first seed of all of them before the second: the comparison shows early."""
    methods: list[tuple[str, float | None]] = []
    for each in spec.rules:
        rule = each.removesuffix(RU)
        methods += [(rule, delta) for delta in spec.deltas] if each.endswith(RU) else [(rule, None)]
    seeds = range(spec.seed, spec.seed + spec.seeds)
    return [
        RunPlan(architecture, rule, delta, seed)
        for seed, architecture, (rule, delta) in product(seeds, spec.architectures, methods)
    ]


def stages(spec: DetectionSpec, epochs: int, tries: Sequence[Sequence[float]] = ()) -> list[StagePlan]:
    """Prepare, then a train and an evaluate shard for each run, then the files, of what was trained; ``tries``: the
    angles of each image that was tried afterwards."""
    prepare = StagePlan(PREPARE, queue="cpu", unit="%", shards=[ShardPlan({}, 100)])
    if not spec.train:
        return [prepare]
    planned = runs(spec)
    train = [ShardPlan({"run": index}, epochs) for index in range(len(planned))]
    evaluate = [ShardPlan({"run": index}, len(spec.angles)) for index in range(len(planned))]
    return [
        prepare,
        StagePlan(TRAIN, queue="gpu", unit="epochs", shards=train),
        StagePlan(EVALUATE, queue="gpu", unit="angles", pairwise=True, shards=evaluate),
        StagePlan(EXPORT, queue="cpu", unit="files", regardless=True, shards=[ShardPlan({}, len(planned) + 2)]),
        StagePlan(
            TRY,
            queue="cpu",
            unit="angles",
            aside=True,
            shards=[ShardPlan({"tried": index}, len(angles) * len(planned)) for index, angles in enumerate(tries)],
        ),
    ]
