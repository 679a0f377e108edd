"""The Analysis tab's cost panel: a sample, the whole experiment, and each solved problem, on every known measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.cost import Cost, Prices, token_dollars
from engine.endpoint import is_hosted
from jobs.models import Experiment
from webapp.experiments.sampling.amounts import write_dollars, write_flops, write_seconds
from webapp.experiments.sampling.costs import costs_of
from webapp.experiments.sampling.counters import Counters, load_counters
from webapp.experiments.sampling.measured import Measured, measure, time_title
from webapp.prices.lookup import token_price
from webapp.prices.table import prices_of

MEASURES = (
    ("flops_once", "FLOPs", "prompt computed once", write_flops),
    ("flops_each", "FLOPs", "prompt computed per request", write_flops),
    ("gpu", "Worker time", "", write_seconds),
    ("dollars_once", "US$", "", write_dollars),
    ("dollars_each", "US$", "prompt charged per request", write_dollars),
    ("dollars_cached", "US$", "prompt from the service's cache after its first request", write_dollars),
)


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    note: str
    sample: str
    altogether: str
    solved: str  # per solved problem


def cost_panel(experiment: Experiment) -> dict[str, Any]:
    """What the template shows; nothing in it needs more than counters and shards."""
    every = load_counters([experiment])
    counters = every[experiment.pk]
    measured = measure([experiment], every)[experiment.pk]
    prices = prices_of(experiment.team)
    costs = costs_of(measured, prices)
    same_dollars = costs.lines.get("dollars_once") == costs.lines.get("dollars_each")
    rows = [
        _row(
            time_title(measured.device) if key == "gpu" else title,
            measured.device if key == "gpu" else note,
            costs.lines[key],
            counters,
            write,
        )
        for key, title, note, write in MEASURES
        if key in costs.lines and not (key == "dollars_each" and same_dollars)
    ]
    rows += _charged(measured, counters, prices)
    names = {"flops": "FLOPs", "gpu": time_title(measured.device), "dollars": "US$"}
    return {
        "samples": int(counters.drawn.sum()),
        "rows": rows,
        "missing": [f"{names[axis]}: {reason}." for axis, reason in costs.why.items()],
        "source": " ".join(costs.notes[axis] for axis in ("flops", "dollars") if costs.notes.get(axis)),
    }


def charged_by_services(experiments: Sequence[Experiment], prices: Prices) -> dict[int, float]:
    """US$ for the tokens that hosted models' services counted, by experiment id; without those that have no price."""
    hosted = {each.pk: token_price(str(each.spec.get("model", "")), prices) for each in experiments if _is_hosted(each)}
    priced = [each for each in experiments if hosted.get(each.pk)]
    every = load_counters(priced) if priced else {}
    found = {}
    for pk, counters in every.items():
        price = hosted[pk]
        assert price is not None
        found[pk] = float(token_dollars(price, int(counters.prompt_tokens.sum()), int(counters.tokens.sum())))
    return found


def _is_hosted(experiment: Experiment) -> bool:
    return is_hosted(str(experiment.spec.get("model", ""))) and not experiment.spec.get("imported")


def _charged(measured: Measured, counters: Counters, prices: Prices) -> list[Row]:
    """What a hosted model's service charged for, by its own count of the prompts."""
    price = token_price(measured.model, prices)
    drawn, solved = int(counters.drawn.sum()), counters.solved
    if price is None or not measured.charged_prompt_tokens or not drawn:
        return []
    total = float(token_dollars(price, measured.charged_prompt_tokens, int(counters.tokens.sum())))
    per_solved = write_dollars(total / solved) if solved else "none solved"
    return [
        Row("US$", "tokens as the service counted them", write_dollars(total / drawn), write_dollars(total), per_solved)
    ]


def _row(title: str, note: str, cost: Cost, counters: Counters, write: Any) -> Row:
    drawn, problems = float(counters.drawn.sum()), int((counters.drawn > 0).sum())
    altogether = problems * cost.fixed + drawn * cost.per_sample
    solved = counters.solved
    return Row(
        title,
        note,
        write(cost.per_sample),
        write(altogether),
        write(altogether / solved) if solved else "none solved",
    )
