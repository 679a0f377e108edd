"""What a person may ask of an audit. Problems, verifier and limits are those of a sampling experiment."""

from __future__ import annotations

import uuid
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.fields import FieldInfo

from jobs.kinds.sampling.spec import SamplingSpec, known_problems, known_verifier, target_where_needed

MAX_REPEATS = 50
# An experiment whose problems are audited: that of an import has them nowhere else.
OF_EXPERIMENT = "experiment"
_SHARED = ("limit", "verifier", "grade_seconds", "grade_memory", "grade_repeats", "grade_target")


def _like(name: str, **changes: Any) -> Any:
    """A field as sampling has it: bounds, texts and place in the form."""
    return FieldInfo.merge_field_infos(SamplingSpec.model_fields[name], **changes)


class AuditSpec(BaseModel):
    """Grade each problem's known right and wrong answers ``repeats`` times, and see where the verifier is mistaken."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    problems: str = Field(
        default="bundled/arithmetic-60",
        max_length=100,
        title="Problem set",
        description="A bundled set, one that your team uploaded, or the problems of imported results.",
        json_schema_extra={"section": "Problems and verifier", "widget": "problem-set"},
    )
    limit: int | None = _like("limit", json_schema_extra={"section": "Problems and verifier", "unit": "problems"})
    verifier: str = _like(
        "verifier",
        description="It is asked about each problem's known answers.",
        json_schema_extra=dict(SamplingSpec.model_fields["verifier"].json_schema_extra or {})  # type: ignore[arg-type]
        | {"section": "Problems and verifier"},
    )
    repeats: int = Field(
        default=3,
        ge=1,
        le=MAX_REPEATS,
        title="Times each answer is graded",
        description="Different verdicts on the same answer show a flaky problem; more repeats find rarer ones.",
        json_schema_extra={"section": "Problems and verifier", "unit": "times"},
    )
    grade_seconds: float = _like("grade_seconds")
    grade_memory: int = _like("grade_memory")
    grade_repeats: int = _like("grade_repeats")
    grade_target: str = _like("grade_target")

    @field_validator("problems")
    @classmethod
    def _known_form(cls, value: str) -> str:
        return known_problems(value, ("set", OF_EXPERIMENT))

    _known_verifier = field_validator("verifier")(known_verifier)
    _target_where_needed = field_validator("grade_target")(target_where_needed)

    @property
    def of_experiment(self) -> uuid.UUID | None:
        """The code of the experiment whose problems are audited; None for a set."""
        place, _, name = self.problems.partition("/")
        return uuid.UUID(name) if place == OF_EXPERIMENT else None

    def as_sampling(self) -> SamplingSpec:
        """What sampling takes for these problems and this verifier, one sample each."""
        values = {name: getattr(self, name) for name in _SHARED}
        if self.of_experiment is None:
            values["problems"] = self.problems
        return SamplingSpec.model_validate(values | {"samples": 1})
