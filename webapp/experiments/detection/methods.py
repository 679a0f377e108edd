"""The methods that a detection experiment compares, and how each looks in every chart and list of the product.

A method is an architecture with a label rule, with the RU loss or without; its runs differ by their seeds alone. A rule
has the same colour in every experiment, so that "largest box" is recognised from page to page; architectures differ
by dash.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from engine.detection.published import ANGLES, PUBLISHED, SOURCE
from jobs.kinds.detection.plan import method_title
from jobs.kinds.detection.spec import ARCHITECTURES
from jobs.models import Experiment

# Colour slots of tokens.css; "+" is the rule with the RU loss. The others take what is left, in order.
OWN_SLOT = {"none": 1, "largest": 5, "ellipse": 2, "ellipse+": 3, "perfect": 8, "random": 4, "rotiou": 7}
SLOTS = (6, 4, 7, 1, 2, 3, 5)
DASHES = ("solid", "dash", "dot")


class RunLike(Protocol):
    """What of a training run decides its method."""

    index: int
    architecture: str
    rule: str
    delta: float | None
    seed: int


@dataclass(frozen=True, slots=True)
class Method:
    key: str  # in addresses: "retinanet.ellipse.10"
    title: str  # with the architecture where an experiment has several
    short: str  # the rule, and RU
    architecture: str
    rule: str
    delta: float | None
    slot: int
    dash: str
    runs: tuple[int, ...]  # indices, in the order of their seeds
    seeds: tuple[int, ...]

    @property
    def is_ceiling(self) -> bool:
        """Labels from masks are what the others are measured against, not a method to choose."""
        return self.rule == "perfect"

    def as_json(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "title": self.title,
            "short": self.short,
            "architecture": self.architecture,
            "slot": self.slot,
            "dash": self.dash,
            "runs": list(self.runs),
            "seeds": list(self.seeds),
            "gated": self.delta is not None,
            "ceiling": self.is_ceiling,
            "rule": self.rule,
        }


def methods_of(runs: Iterable[RunLike]) -> list[Method]:
    """Methods in the order of their first runs."""
    groups: dict[tuple[str, str, float | None], list[RunLike]] = {}
    for run in sorted(runs, key=lambda each: each.index):
        groups.setdefault((run.architecture, run.rule, run.delta), []).append(run)
    architectures = list(dict.fromkeys(architecture for architecture, _, _ in groups))
    looks = list(dict.fromkeys((rule, delta) for _, rule, delta in groups))
    slots = dict(zip(looks, slots_of(looks), strict=True))
    made = []
    for (architecture, rule, delta), members in groups.items():
        short = method_title(rule, delta)
        title = f"{short}, {ARCHITECTURES[architecture]}" if len(architectures) > 1 else short
        made.append(
            Method(
                key=f"{architecture}.{rule}" + ("" if delta is None else f".{delta:g}"),
                title=title,
                short=short,
                architecture=architecture,
                rule=rule,
                delta=delta,
                slot=slots[rule, delta],
                dash=DASHES[architectures.index(architecture) % len(DASHES)],
                runs=tuple(each.index for each in members),
                seeds=tuple(each.seed for each in members),
            )
        )
    return made


def slots_of(looks: Sequence[tuple[str, float | None]]) -> list[int]:
    """A colour for each (rule, delta): its own where it has one and it is free, then what is left, then grey."""
    own = {look: OWN_SLOT.get(look[0] + ("" if look[1] is None else "+")) for look in looks}
    taken: set[int] = set()
    chosen: dict[tuple[str, float | None], int] = {}
    for look, slot in own.items():
        if slot is not None and slot not in taken:
            chosen[look] = slot
            taken.add(slot)
    for look in looks:
        if look not in chosen:
            chosen[look] = next((slot for slot in SLOTS if slot not in taken), 8)
            taken.add(chosen[look])
    return [chosen[look] for look in looks]


def published_json() -> dict[str, Any]:
    """The paper's numbers for the overlay, as shares."""
    looks = [(each.rule, each.delta) for each in PUBLISHED]
    lines = []
    for each, slot in zip(PUBLISHED, slots_of(looks), strict=True):
        metrics = {"ap": each.ap, "ap50": each.ap50, "ap75": each.ap75}
        values = {name: [value / 100 for value in row] for name, row in metrics.items() if row}
        lines.append(
            {
                "title": method_title(each.rule, each.delta),
                "rule": each.rule,
                "gated": each.delta is not None,
                "slot": slot,
                **values,
            }
        )
    return {"source": SOURCE, "angles": list(ANGLES), "lines": lines}


def rules_of(names: Sequence[str]) -> list[dict[str, Any]]:
    """The rules of a Spec without RU, in the colours of their plain methods: whose labels' quality is measured."""
    plain = list(dict.fromkeys(name.partition("+")[0] for name in names))
    slots = slots_of([(rule, None) for rule in plain])
    return [
        {"rule": rule, "title": method_title(rule, None), "slot": slot} for rule, slot in zip(plain, slots, strict=True)
    ]


def plan_json(experiment: Experiment, methods: list[Method], *, with_paper: bool) -> dict[str, Any]:
    """What the page's scripts need to know of an experiment and what never changes in it."""
    spec = experiment.spec
    return {
        "methods": [method.as_json() for method in methods],
        # The labels of the first two are always measured.
        "rules": rules_of(["largest", "ellipse", *spec.get("rules", [])]),
        **({"paper": published_json()} if with_paper else {}),
    }
