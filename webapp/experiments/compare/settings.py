"""Settings of several experiments side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.models import Experiment
from webapp.experiments.config import Setting, config_sections

SHORT = 60  # characters of a value shown in the table; the rest unfolds


@dataclass(frozen=True, slots=True)
class Value:
    text: str
    is_long: bool
    same_as_first: bool


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting and its value in each experiment, in the experiments' order."""

    name: str
    title: str
    unit: str
    values: list[Value]
    differs: bool


def setting_rows(experiments: Sequence[Experiment]) -> list[SettingRow]:
    """Every setting that any of the experiments has, in the Spec's order."""
    tables = [_by_name(experiment) for experiment in experiments]
    known: dict[str, Setting] = {}
    for table in tables:
        known = table | known  # the order of the longest Spec first seen
    return [_row(setting, [table.get(name) for table in tables]) for name, setting in known.items()]


def _by_name(experiment: Experiment) -> dict[str, Setting]:
    return {setting.name: setting for _, settings in config_sections(experiment) for setting in settings}


def _row(setting: Setting, found: Sequence[Setting | None]) -> SettingRow:
    texts = [each.value if each else "not set" for each in found]
    values = [Value(text, len(text) > SHORT or "\n" in text, text == texts[0]) for text in texts]
    return SettingRow(setting.name, setting.title, setting.unit, values, len(set(texts)) > 1)
