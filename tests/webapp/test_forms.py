"""A form made from a Spec: what it shows, what it reads back, and how it words what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import QueryDict
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from jobs.kinds.sampling.presets import PRESETS
from jobs.kinds.sampling.spec import SamplingSpec
from webapp.experiments.forms import SpecForm, escape, fields_of, unescape


class Small(BaseModel):
    """Every sort of field, with few rules."""

    tries: int = Field(default=4, ge=1, le=9, title="Tries", json_schema_extra={"unit": "samples", "section": "First"})
    heat: float = Field(default=0.5, ge=0, title="Heat", json_schema_extra={"step": 0.1})
    limit: int | None = Field(default=None, le=5, title="Limit")
    chat: bool = True
    words: list[str] = Field(default_factory=list, max_length=2)
    text: str = Field(default="hi", max_length=3, json_schema_extra={"widget": "textarea"})
    judge: str = Field(default="a", json_schema_extra={"choices": [["a", "Exact"], ["b", "Symbolic"]]})


def posted(form: SpecForm) -> QueryDict:
    """What a browser posts for the form as it stands."""
    data = QueryDict(mutable=True)
    for section in form.sections:
        for bound in section.fields:
            if bound.field.widget == "examples":
                for example in bound.value:
                    data.appendlist(f"{bound.field.name}-question", example["question"])
                    data.appendlist(f"{bound.field.name}-answer", example["answer"])
            elif bound.field.widget != "check":
                data[bound.field.name] = bound.value.replace("\n", "\r\n")
            elif bound.value:
                data[bound.field.name] = "on"
    return data


def test_fields_come_from_the_spec() -> None:
    fields = {field.name: field for field in fields_of(Small)}
    assert {name: field.widget for name, field in fields.items()} == {
        "tries": "number",
        "heat": "number",
        "limit": "number",
        "chat": "check",
        "words": "lines",
        "text": "textarea",
        "judge": "choice",
    }
    tries = fields["tries"]
    assert (tries.title, tries.unit, tries.section, tries.minimum, tries.maximum, tries.step) == (
        "Tries",
        "samples",
        "First",
        1,
        9,
        "1",
    )
    assert fields["limit"].optional and not tries.optional
    assert fields["judge"].choices == [("a", "Exact"), ("b", "Symbolic")]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tries": "10"}, "Must be between 1 and 9."),
        ({"tries": "2.5"}, "Write a whole number."),
        ({"tries": ""}, "Write a whole number."),
        ({"heat": "warm"}, "Write a number."),
        ({"heat": "-1"}, "Must be 0 or more."),
        ({"limit": "6"}, "Must be 5 or less."),
        ({"words": "a\nb\nc"}, "At most 2 are possible."),
        ({"text": "longer"}, "Use at most 3 characters."),
    ],
)
def test_what_is_wrong_stands_beside_its_field(change: dict[str, str], sentence: str) -> None:
    data = posted(SpecForm(Small))
    for name, value in change.items():
        data.setlist(name, [value])
    form = SpecForm(Small, data=data)
    assert not form.is_valid()
    assert form.errors == {next(iter(change)): sentence}
    shown = {bound.field.name: bound.value for section in form.sections for bound in section.fields}
    assert shown | change == shown  # the person's own words stay in the control


def test_an_unticked_box_is_false_and_an_empty_optional_is_none() -> None:
    data = posted(SpecForm(Small))
    del data["chat"]
    form = SpecForm(Small, data=data)
    assert form.is_valid()
    assert isinstance(form.spec, Small)
    assert (form.spec.chat, form.spec.limit) == (False, None)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_survives_the_form(preset: Any) -> None:
    form = SpecForm(SamplingSpec, data=posted(SpecForm(SamplingSpec, initial=preset.values)))
    assert form.is_valid(), form.errors
    assert form.spec == SamplingSpec.model_validate(preset.values)


def test_a_wrong_example_is_named_by_its_number() -> None:
    data = posted(SpecForm(SamplingSpec))
    data.setlist("few_shot-question", ["1 + 1?", "", "2 + 2?"])
    data.setlist("few_shot-answer", ["2", "", ""])
    form = SpecForm(SamplingSpec, data=data)
    assert not form.is_valid()
    assert form.errors["few_shot"].startswith("Number 2, answer: ")  # the empty pair does not count


@given(st.text())
def test_a_line_holds_any_text(text: str) -> None:
    assert unescape(escape(text)) == text
    assert "\n" not in escape(text) and "\r" not in escape(text)


@given(st.text(alphabet="\\ntrx \n"))
def test_unescape_takes_whatever_is_typed(text: str) -> None:
    assert unescape(text).count("\\") <= text.count("\\")
