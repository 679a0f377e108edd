"""What a kind adds to the form that is made from its Spec.

A kind's part is the object ``FORM`` in ``webapp/experiments/<kind>/form.py``. A new kind adds a folder and edits
nothing here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

from jobs.models import Experiment
from webapp.accounts.models import Team


@dataclass(frozen=True, slots=True)
class PresetCard:
    """A starting point: the values it sets; what it leaves out keeps its default."""

    name: str
    title: str
    help: str
    icon: str
    values: dict[str, Any]


class EstimateRow(NamedTuple):
    label: str
    value: str
    known: str = ""  # how: "measured", "guess", ...; empty where that is plain


@dataclass(frozen=True, slots=True)
class Estimate:
    """What an experiment will take, before it is submitted."""

    rows: list[EstimateRow] = field(default_factory=list)
    note: str = ""  # in a sentence or two


class KindForm(ABC):
    lede: ClassVar[str]
    icon: ClassVar[str]
    sets_address: ClassVar[str] = "data-sets"  # the name of the page where the team's own data is added

    @abstractmethod
    def presets(self) -> Sequence[PresetCard]: ...

    @abstractmethod
    def options(self, widget: str, team: Team) -> list[tuple[str, list[tuple[str, str]]]]:
        """Groups of (value, label) for a widget of the kind's own."""

    def values_of(self, experiment: Experiment) -> dict[str, Any] | None:
        """What the form takes over from an experiment of another kind; None: nothing can be."""
        return None

    @abstractmethod
    def check(self, spec: Any, team: Team) -> dict[str, str]:
        """What the Spec alone cannot know, by field: the model is not there, the set is another team's, ..."""

    @abstractmethod
    def default_name(self, spec: Any, team: Team) -> str:
        """What to call an experiment that the person did not name."""

    @abstractmethod
    def estimate(self, spec: Any, team: Team) -> Estimate: ...


def kind_form(name: str) -> KindForm:
    form: KindForm = import_module(f"webapp.experiments.{name}.form").FORM
    return form
