from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.sampling import SamplingParams
from jobs.kinds.sampling.presets import PRESETS, get_preset
from jobs.kinds.sampling.spec import SamplingSpec
from tests.jobs.kinds.sampling.strategies import spec_values


@given(spec_values())
def test_it_survives_json_and_a_database(values: dict[str, Any]) -> None:
    spec = SamplingSpec(**values)
    stored = json.dumps(spec.model_dump(mode="json"))
    assert "\\u0000" not in stored
    stored.encode("utf-8")
    assert SamplingSpec.model_validate(json.loads(stored)) == spec
    assert SamplingSpec.model_validate_json(spec.model_dump_json()) == spec


@given(spec_values())
def test_the_engine_takes_whatever_it_allows(values: dict[str, Any]) -> None:
    spec = SamplingSpec(**values)
    SamplingParams(
        temperature=spec.temperature,
        top_p=spec.top_p,
        top_k=spec.top_k,
        min_p=spec.min_p,
        max_tokens=spec.max_tokens,
        stop=tuple(spec.stop),
        seed=spec.seed,
    )


@given(
    st.dictionaries(
        st.sampled_from(sorted(SamplingSpec.model_fields)), st.none() | st.integers() | st.floats() | st.text()
    )
)
def test_anything_else_is_a_validation_error(values: dict[str, Any]) -> None:
    try:
        SamplingSpec(**values)
    except ValidationError as error:
        assert {field["loc"][0] for field in error.errors()} <= set(SamplingSpec.model_fields)


@pytest.mark.parametrize(
    ("field", "value", "hint"),
    [
        ("model", " \0 ", "write some text"),
        ("problems", "bundled/nothing", "choose one of bundled/arithmetic-60"),
        ("problems", "set/../../etc/passwd", "choose one of"),
        ("problems", "set/" + "-" * 36, "choose one of"),
        ("limit", 0, "greater than or equal to 1"),
        ("samples", 10_001, "less than or equal to 10000"),
        ("temperature", float("nan"), "finite"),
        ("temperature", 1e-9, "use 0, or 0.01"),
        ("top_p", 0, "greater than or equal to"),
        ("min_p", 1, "less than or equal to 0.99"),
        ("stop", ["\0"], "at least one character"),
        ("stop", ["x"] * 9, "at most 8"),
        ("seed", 2**53, "less than or equal to"),
        ("template", "no place for it", "exactly once"),
        ("template", "{question}{question}", "exactly once"),
        ("system", "\ud800", ""),
        ("verifier", "magic", "choose one of gsm8k, math-verify"),
        ("surprise", 1, "not permitted"),
    ],
)
def test_it_refuses_and_says_why(field: str, value: Any, hint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SamplingSpec(**{field: value})
    (error, *_) = caught.value.errors()
    assert error["loc"][0] == field
    assert hint in error["msg"]


def test_a_system_message_needs_chat() -> None:
    with pytest.raises(ValidationError, match="turn chat on"):
        SamplingSpec(chat=False, system="Be brief.")


def test_line_ends_of_browsers_become_plain_ones() -> None:
    assert SamplingSpec(template="Q: {question}\r\nA:").template == "Q: {question}\nA:"


def test_every_field_can_be_shown_in_a_form() -> None:
    for name, field in SamplingSpec.model_fields.items():
        assert field.title and field.description, name
        assert isinstance(field.json_schema_extra, dict) and field.json_schema_extra["section"], name


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_presets_are_valid(preset: Any) -> None:
    SamplingSpec(**preset.values)
    assert get_preset(preset.name) is preset


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(KeyError, match="there are: first-look, demo"):
        get_preset("nothing")
