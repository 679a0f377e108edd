"""Starting points for the form. A preset fills fields of SamplingSpec; what it leaves out keeps its default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.models import DEMO_MODEL
from engine.tasks import TASKS
from engine.tasks.examples import ARITHMETIC
from engine.verification import VERIFIERS


@dataclass(frozen=True, slots=True)
class Preset:
    name: str
    title: str
    help: str
    values: dict[str, Any]


_DEMO: dict[str, Any] = {
    "model": DEMO_MODEL,
    "problems": "bundled/arithmetic-60",
    "samples": 64,
    "temperature": 0.8,
    "max_tokens": 64,
    "stop": ["\n\n"],
    "chat": True,
    "few_shot": [{"question": one.question, "answer": one.answer} for one in ARITHMETIC],
    "verifier": "gsm8k",
}

PRESETS = (
    Preset(
        "first-look",
        "First look",
        "12 problems, 8 samples: done in about a minute.",
        _DEMO | {"limit": 12, "samples": 8},
    ),
    Preset("demo", "Demo", "60 problems, 64 samples, the demo model: minutes on two CPU cores.", _DEMO),
    # What a task needs beside its settings, its data, people bring: only tasks whose verifier is here are offered.
    *(
        Preset(task.name, f"As published: {task.title}", task.help, task.settings())
        for task in TASKS.values()
        if task.verifier in VERIFIERS
    ),
)


def get_preset(name: str) -> Preset:
    """The preset called ``name``; KeyError lists the names there are."""
    for preset in PRESETS:
        if preset.name == name:
            return preset
    raise KeyError(f"no preset is called {name!r}; there are: {', '.join(preset.name for preset in PRESETS)}")
