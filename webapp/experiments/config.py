"""An experiment's Spec as people read it: titles, units and help come from the Spec, as in the form."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from jobs.models import Experiment
from webapp.experiments.kind_pages import kind_page

LONG = 60  # characters; longer texts get a block of their own


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    title: str
    value: str
    unit: str
    help: str
    is_block: bool  # shown as preformatted text below its title


def _shown(value: Any) -> str:
    if value is None or value == "" or value == []:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(_is_plain(each) for each in value):
        return ", ".join(f"{each:g}" if isinstance(each, float) else str(each) for each in value)
    if isinstance(value, list | dict):
        return json.dumps(value, indent=2, ensure_ascii=False)
    return str(value)


def _is_plain(value: Any) -> bool:
    """Whether it can stand in a list without quotes: a number, or a word."""
    return isinstance(value, int | float) or (isinstance(value, str) and re.fullmatch(r"[\w.-]+", value) is not None)


def config_sections(experiment: Experiment) -> list[tuple[str, list[Setting]]]:
    """The settings under their sections' titles, in the Spec's order; keys an older version wrote come last."""
    fields = experiment.kind_object.Spec.model_fields
    page = kind_page(experiment.kind)
    sections: dict[str, list[Setting]] = {}
    for name, value in sorted(experiment.spec.items(), key=lambda item: _place(item[0], list(fields))):
        field = fields.get(name)
        extra = field.json_schema_extra if field and isinstance(field.json_schema_extra, dict) else {}
        text = page.spelled(experiment, name) or _shown(value)
        setting = Setting(
            name=name,
            title=(field.title if field else None) or name,
            value=text,
            unit=str(extra.get("unit") or ""),
            help=(field.description if field else None) or "",
            is_block="\n" in text or len(text) > LONG,
        )
        sections.setdefault(str(extra.get("section") or "Settings"), []).append(setting)
    return list(sections.items())


def _place(name: str, order: list[str]) -> int:
    return order.index(name) if name in order else len(order)
