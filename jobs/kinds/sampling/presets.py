"""Starting points for the form. A preset fills fields of SamplingSpec; what it leaves out keeps its default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.sampling import DEMO_MODEL


@dataclass(frozen=True, slots=True)
class Preset:
    name: str
    title: str
    help: str
    values: dict[str, Any]


# Written for this project: one equation a line, then "#### " and the number, as GSM8K ends. Terse
# examples keep the small demo model's answers short and in form.
EXAMPLES = [
    {
        "question": "Ella has 5 pencils and finds 8 more. How many pencils does she have?",
        "answer": "5 + 8 = 13\n#### 13",
    },
    {
        "question": "What is 6 times 9, minus 10?",
        "answer": "6 * 9 = 54\n54 - 10 = 44\n#### 44",
    },
    {
        "question": "A shop sells 4 cakes at 7 dollars each and gives 3 dollars back. How many dollars does it keep?",
        "answer": "4 * 7 = 28\n28 - 3 = 25\n#### 25",
    },
    {
        "question": "Hugo has 30 nuts. He eats 6 and shares the rest equally among 4 friends. "
        "How many nuts does each friend get?",
        "answer": "30 - 6 = 24\n24 / 4 = 6\n#### 6",
    },
]

_DEMO: dict[str, Any] = {
    "model": DEMO_MODEL,
    "problems": "bundled/arithmetic-60",
    "samples": 64,
    "temperature": 0.8,
    "max_tokens": 64,
    "stop": ["\n\n"],
    "chat": True,
    "few_shot": EXAMPLES,
    "verifier": "gsm8k",
}

# Brown et al. 2024 (arXiv 2407.21787), appendices A and B, and the released code's stop strings. The paper draws five
# examples at random from the training set for each problem; put yours in place of ours to reproduce it.
_PUBLISHED: dict[str, Any] = {
    "samples": 10_000,
    "temperature": 0.6,
    "top_p": 1.0,
    "top_k": 0,
    "max_tokens": 512,
    "chat": False,
    "system": "",
}

PRESETS = (
    Preset(
        "first-look",
        "First look",
        "12 problems, 8 samples: done in about a minute.",
        _DEMO | {"limit": 12, "samples": 8},
    ),
    Preset("demo", "Demo", "60 problems, 64 samples, the demo model: minutes on two CPU cores.", _DEMO),
    Preset(
        "brown-2024-gsm8k",
        "As published: GSM8K",
        "The settings of Brown et al. 2024. Upload GSM8K test problems and bring five training examples.",
        _PUBLISHED
        | {
            "template": "Question: {question}\nAnswer:",
            "stop": ["Q:", "Question:"],
            "few_shot": EXAMPLES,
            "verifier": "gsm8k",
        },
    ),
    Preset(
        "brown-2024-math",
        "As published: MATH",
        "The settings of Brown et al. 2024. Upload MATH problems and bring the Minerva prompt's examples.",
        _PUBLISHED
        | {
            "template": "Problem:\n{question}\n\nSolution:",
            "stop": ["Problem:"],
            "few_shot": [],
            "verifier": "math-verify",
        },
    ),
)


def get_preset(name: str) -> Preset:
    """The preset called ``name``; KeyError lists the names there are."""
    for preset in PRESETS:
        if preset.name == name:
            return preset
    raise KeyError(f"no preset is called {name!r}; there are: {', '.join(preset.name for preset in PRESETS)}")
