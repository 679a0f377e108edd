"""The form of a kind of experiment, made from its Spec: fields, bounds, units and help have one source.

The JSON schema of the Spec says what each field is; ``json_schema_extra`` adds its section, unit, step, choices and
widget. A posted form becomes the values that ``Spec.model_validate`` takes, and pydantic's errors become sentences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.http import QueryDict
from django.utils.functional import cached_property
from pydantic import BaseModel, ValidationError

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a Spec as a person sees it."""

    name: str
    title: str
    help: str
    section: str
    unit: str
    widget: str  # text, textarea, number, check, choice, multi, numbers, lines, examples, or a kind's own
    optional: bool
    whole: bool  # only whole numbers
    default: Any
    choices: list[tuple[str, str]]
    minimum: float | None
    maximum: float | None
    step: str
    only: tuple[str, str] | None = None  # another field, and its values with which this one means something

    @property
    def wide(self) -> bool:
        return self.widget in {"textarea", "examples", "multi"}

    def read(self, data: QueryDict) -> Any:
        """The value in posted data, for pydantic to check; KeyError when the form did not have this field."""
        if self.widget == "check":
            return self.name in data
        if self.widget == "examples":
            pairs = zip(data.getlist(f"{self.name}-question"), data.getlist(f"{self.name}-answer"), strict=False)
            return [{"question": q, "answer": a} for q, a in pairs if q.strip() or a.strip()]
        text = data.get(self.name)
        if not isinstance(text, str):
            raise KeyError(self.name)
        if self.widget == "multi":  # an empty value stands for the boxes when none is checked
            return [value for value in data.getlist(self.name) if value]
        if self.widget == "numbers":
            return text.replace(",", " ").split()
        if self.widget == "lines":
            return [unescape(line) for line in text.splitlines() if line]
        if self.optional and not text.strip():
            return None
        return text.strip() if self.widget == "number" else text

    def show(self, value: Any) -> Any:
        """A value as the form's control holds it; the inverse of ``read``."""
        if self.widget == "lines":
            return "\n".join(escape(line) for line in value or [])
        if self.widget == "numbers":
            return ", ".join(f"{each:g}" if isinstance(each, int | float) else str(each) for each in value or [])
        if self.widget in {"check", "examples", "multi"}:
            return value
        return "" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class BoundField:
    """A field with what the person typed and what is wrong with it."""

    field: Field
    value: Any
    error: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    fields: list[BoundField] = field(default_factory=list)


def escape(text: str) -> str:
    r"""A string on one line: a line break is written ``\n``."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")


def unescape(text: str) -> str:
    r"""The inverse of ``escape``; a backslash before anything else stays as it is."""
    known = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}
    result, position = [], 0
    while position < len(text):
        pair = text[position : position + 2]
        if pair[0] == "\\" and pair[1:] in known:
            result.append(known[pair[1:]])
            position += 2
        else:
            result.append(pair[0])
            position += 1
    return "".join(result)


@cache
def fields_of(spec: type[BaseModel]) -> tuple[Field, ...]:
    """The fields of a Spec in its own order, without those that no form sets (widget "none")."""
    schema = spec.model_json_schema()
    shown = {name: part for name, part in schema["properties"].items() if part.get("widget") != "none"}
    return tuple(_field(name, part, spec) for name, part in shown.items())


def _field(name: str, part: Json, spec: type[BaseModel]) -> Field:
    options = part.get("anyOf", [part])
    main = next(option for option in options if option.get("type") != "null")
    kind = main.get("type", "string")
    choices = [(str(value), str(label)) for value, label in part.get("choices", [])]
    return Field(
        name=name,
        title=part.get("title", name),
        help=part.get("description", ""),
        section=part.get("section", "Settings"),
        unit=part.get("unit", ""),
        widget=part.get("widget") or ("choice" if choices else _WIDGETS.get(kind, "text")),
        optional=len(options) > 1,
        whole=kind == "integer",
        default=spec.model_fields[name].get_default(call_default_factory=True),
        choices=choices,
        minimum=main.get("minimum"),
        maximum=main.get("maximum"),
        step=str(part.get("step", 1 if kind == "integer" else "any")),
        only=next(((name, " ".join(values)) for name, values in part.get("only", {}).items()), None),
    )


_WIDGETS = {"integer": "number", "number": "number", "boolean": "check", "array": "lines"}


class SpecForm:
    """A form for ``spec``, empty, filled with ``initial`` values, or bound to what was posted.

    After ``is_valid`` either ``spec`` holds the validated Spec, or ``errors`` a sentence for each field that is wrong.
    """

    def __init__(
        self, spec: type[BaseModel], *, initial: Mapping[str, Any] | None = None, data: QueryDict | None = None
    ) -> None:
        self.fields = fields_of(spec)
        self.errors: dict[str, str] = {}
        self.spec: BaseModel | None = None
        self._type = spec
        # An experiment from an older version may hold settings that are gone now.
        known = {one.name: initial[one.name] for one in self.fields if initial and one.name in initial}
        self._values = self._read(data) if data is not None else known

    def _read(self, data: QueryDict) -> Json:
        values: Json = {}
        for one in self.fields:
            try:
                values[one.name] = one.read(data)
            except KeyError:  # left out by a script that posts only what it changes: the default holds
                continue
        return values

    def is_valid(self) -> bool:
        try:
            self.spec = self._type.model_validate(self._values)
        except ValidationError as invalid:
            for error in invalid.errors(include_url=False):
                name = str(error["loc"][0]) if error["loc"] else ""
                self.errors.setdefault(name, sentence(self._by_name.get(name), error))
        return not self.errors

    def add_error(self, name: str, message: str) -> None:
        """Something wrong that the Spec alone cannot know."""
        self.errors.setdefault(name, message)

    @cached_property
    def _by_name(self) -> dict[str, Field]:
        return {one.name: one for one in self.fields}

    @property
    def sections(self) -> list[Section]:
        """The bound fields under their sections' titles, in the Spec's order."""
        sections: dict[str, Section] = {}
        for one in self.fields:
            value = one.show(self._values.get(one.name, one.default))
            bound = BoundField(one, value, self.errors.get(one.name, ""))
            sections.setdefault(one.section, Section(one.section)).fields.append(bound)
        return list(sections.values())

    @property
    def wrong(self) -> list[tuple[str, str, str]]:
        """(name, title, error) of every field that is wrong, for the summary beside the button."""
        titles = {one.name: one.title for one in self.fields}
        return [(name, titles.get(name, name), error) for name, error in self.errors.items()]


def sentence(where: Field | None, error: Mapping[str, Any]) -> str:
    """pydantic's error as a sentence that says what to do."""
    message = _plain(where, error)
    loc = error["loc"]
    if len(loc) > 1 and isinstance(loc[1], int):
        part = f", {loc[2]}" if len(loc) > 2 else ""
        return f"Number {loc[1] + 1}{part}: {message[0].lower()}{message[1:]}"
    return message


def _plain(where: Field | None, error: Mapping[str, Any]) -> str:
    kind, context = str(error["type"]), error.get("ctx", {})
    if kind.startswith(("int", "float", "finite")):
        return "Write a whole number." if where and where.whole else "Write a number."
    if kind in {"greater_than_equal", "less_than_equal"} and where and (where.minimum, where.maximum) != (None, None):
        return _bounds(where)
    if kind == "string_too_long":
        return f"Use at most {context['max_length']:,} characters."
    if kind == "too_long":
        return f"At most {context['max_length']} are possible."
    text = str(context.get("error") or error["msg"])
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _bounds(where: Field) -> str:
    low, high = where.minimum, where.maximum
    if low is not None and high is not None:
        return f"Must be between {low:,} and {high:,}."
    return f"Must be {low:,} or more." if low is not None else f"Must be {high:,} or less."
