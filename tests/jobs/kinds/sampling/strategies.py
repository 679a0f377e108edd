"""Specs of every shape, valid by construction, for tests here and for the form's."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from engine.models import DEMO_MODEL
from engine.problems import BUNDLED
from engine.verification import NEED_TARGET, VERIFIERS

# NUL stays in (people paste it) and is stripped by the Spec; half surrogates are no text at all and are refused.
text = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)
filled = text.filter(lambda value: bool(value.replace("\0", "").strip()))


@st.composite
def spec_values(draw: st.DrawFn) -> dict[str, Any]:
    """Keyword arguments of a SamplingSpec."""
    chat = draw(st.booleans())
    verifier = draw(st.sampled_from(sorted(VERIFIERS)))
    return {
        "model": draw(st.just(DEMO_MODEL) | st.just("org/name") | filled),
        "problems": draw(st.sampled_from(sorted(BUNDLED)).map("bundled/{}".format) | st.uuids().map("set/{}".format)),
        "limit": draw(st.none() | st.integers(1, 100_000)),
        "samples": draw(st.integers(1, 10_000)),
        "temperature": draw(st.just(0.0) | st.floats(0.01, 2)),
        "top_p": draw(st.floats(0.01, 1)),
        "top_k": draw(st.integers(0, 100_000)),
        "min_p": draw(st.floats(0, 0.99)),
        "max_tokens": draw(st.integers(1, 32_768)),
        "stop": draw(st.lists(text.filter(lambda value: bool(value.replace("\0", ""))), max_size=8)),
        "seed": draw(st.integers(0, 2**53 - 1)),
        "chat": chat,
        "system": draw(text) if chat else "",
        "template": draw(text).replace("{question}", "") + "{question}" + draw(text).replace("{question}", ""),
        "few_shot": draw(st.lists(st.fixed_dictionaries({"question": filled, "answer": filled}), max_size=3)),
        "verifier": verifier,
        "grade_seconds": draw(st.floats(0.1, 600)),
        "grade_memory": draw(st.integers(64, 65_536)),
        "grade_repeats": draw(st.integers(1, 11)),
        "grade_target": draw(filled if verifier in NEED_TARGET else text),
        "scorer": draw(text),
        "scorer_label": draw(st.none() | st.integers(0, 10_000)),
    }
