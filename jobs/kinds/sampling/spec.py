"""Everything a person may ask of a sampling experiment. The form, the API, the stored record and the docs come from it.

Every field has a title, help (``description``), bounds, and in ``json_schema_extra`` its ``section`` of the form, its
``unit``, and where useful ``choices`` ([value, label] pairs), ``widget``, ``step`` or ``only`` (the values of another
field with which it means something; the form hides it otherwise).
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    StringConstraints,
    field_validator,
    model_serializer,
)
from pydantic_core.core_schema import ValidationInfo

from engine.models import DEMO_MODEL
from engine.problems import BUNDLED
from engine.verification import NEED_TARGET, VERIFIERS
from jobs.kinds.spec_parts import reference, storable

MAX_SAMPLES = 10_000
MAX_TOKENS = 32_768
# Seeds pass through JavaScript, whose numbers are exact up to here.
MAX_SEED = 2**53 - 1
QUESTION = "{question}"
_WITH_TARGET: list[JsonValue] = [*sorted(NEED_TARGET)]


def _storable(text: str) -> str:
    """Line ends as \\n (browsers send \\r\\n) and nothing a database refuses."""
    return storable(text.replace("\r\n", "\n"))


def known_problems(value: str, places: Collection[str] = ("set",)) -> str:
    """A bundled set, or the code of something in one of ``places``."""
    place, _, name = value.partition("/")
    if place == "bundled" and name in BUNDLED:
        return value
    if found := reference(value, places):
        return found
    raise ValueError(f"choose one of {', '.join('bundled/' + name for name in BUNDLED)}, or an uploaded set")


def known_verifier(value: str) -> str:
    if value not in VERIFIERS:
        raise ValueError(f"choose one of {', '.join(VERIFIERS)}")
    return value


def target_where_needed(value: str, info: ValidationInfo) -> str:
    if not value and (verifier := info.data.get("verifier")) in NEED_TARGET:
        raise ValueError(f"say what the verifier {verifier} is to ask")
    return value


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("write some text here")
    return text


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("write at least one character")
    return text


LongText = Annotated[str, StringConstraints(max_length=20_000), AfterValidator(_storable)]
FilledText = Annotated[LongText, AfterValidator(_filled)]
ModelName = Annotated[
    str,
    StringConstraints(max_length=300),
    AfterValidator(_storable),
    AfterValidator(str.strip),
    AfterValidator(_filled),
]
# White space is a fine stop string: "\n\n" ends an answer at the first blank line.
StopString = Annotated[str, StringConstraints(max_length=100), AfterValidator(_storable), AfterValidator(_not_empty)]


class Example(BaseModel):
    """A solved problem shown before the real one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: FilledText = Field(title="Question")
    answer: FilledText = Field(title="Answer")


class ImportedFile(BaseModel):
    """The file of results that an experiment was made from, instead of drawing samples."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str = Field(max_length=200)
    size: int = Field(ge=0)  # bytes
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    format: str = Field(max_length=20)  # a name of engine.exchange.FORMATS, or "auto" until the file was read
    score: str = Field(default="", max_length=100)
    filter: str = Field(default="", max_length=100)


class ExtraDraw(BaseModel):
    """More samples for some problems, chosen by looking at the results. ``up_to``: samples in all -> the problems, by
    index, that get so many. Who has more already keeps them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    up_to: dict[Annotated[int, Field(ge=1, le=MAX_SAMPLES)], list[Annotated[int, Field(ge=0)]]] = Field(min_length=1)

    @classmethod
    def of(cls, targets: Mapping[int, int]) -> ExtraDraw:
        """From problem index -> samples in all."""
        groups: dict[int, list[int]] = {}
        for problem, samples in sorted(targets.items()):
            groups.setdefault(samples, []).append(problem)
        return cls(up_to=dict(sorted(groups.items())))

    @property
    def targets(self) -> dict[int, int]:
        """Problem index -> samples in all."""
        found: dict[int, int] = {}
        for samples, problems in self.up_to.items():
            found |= {problem: max(samples, found.get(problem, 0)) for problem in problems}
        return found


class SamplingSpec(BaseModel):
    """Draw ``samples`` answers for each problem, grade them, and see coverage grow with k."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    # --- model and problems
    model: ModelName = Field(
        default=DEMO_MODEL,
        title="Model",
        description="The demo model, a model folder or .gguf file on the workers, or a hub id such as "
        "Qwen/Qwen3-0.6B. Weights must be safetensors or GGUF. A hosted model is written openai:MODEL@ENDPOINT.",
        json_schema_extra={"section": "Model and problems"},
    )
    problems: str = Field(
        default="bundled/arithmetic-60",
        max_length=100,
        title="Problem set",
        description="A bundled set, or one that your team uploaded.",
        json_schema_extra={"section": "Model and problems", "widget": "problem-set"},
    )
    limit: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        title="First problems only",
        description="Use only the first so many problems of the set. Empty: all of them.",
        json_schema_extra={"section": "Model and problems", "unit": "problems"},
    )
    # --- sampling
    samples: int = Field(
        default=64,
        ge=1,
        le=MAX_SAMPLES,
        title="Samples per problem",
        description="The curve is drawn for every k up to this. More can be drawn later.",
        json_schema_extra={"section": "Sampling", "unit": "samples"},
    )
    stop_when_solved: bool = Field(
        default=False,
        title="Stop a problem when it is solved",
        description="Its remaining samples are not drawn once one is correct. Cheaper, but only the share of problems "
        "solved and the samples to the first success are known then, not how often each problem is solved.",
        json_schema_extra={"section": "Sampling"},
    )
    temperature: float = Field(
        default=0.8,
        ge=0,
        le=2,
        title="Temperature",
        description="Higher values give more varied answers. 0 gives the same answer every time.",
        json_schema_extra={"section": "Sampling", "step": 0.05},
    )
    top_p: float = Field(
        default=1.0,
        ge=0.01,
        le=1,
        title="Top-p",
        description="Keep the likeliest tokens that together reach this probability. 1 keeps all.",
        json_schema_extra={"section": "Sampling", "step": 0.01},
    )
    top_k: int = Field(
        default=0,
        ge=0,
        le=100_000,
        title="Top-k",
        description="Keep so many of the likeliest tokens. 0 keeps all.",
        json_schema_extra={"section": "Sampling", "unit": "tokens"},
    )
    min_p: float = Field(
        default=0.0,
        ge=0,
        le=0.99,
        title="Min-p",
        description="Keep tokens at least this many times as likely as the likeliest one. 0 keeps all.",
        json_schema_extra={"section": "Sampling", "step": 0.01},
    )
    max_tokens: int = Field(
        default=256,
        ge=1,
        le=MAX_TOKENS,
        title="Longest answer",
        description="An answer is cut off here.",
        json_schema_extra={"section": "Sampling", "unit": "tokens"},
    )
    stop: list[StopString] = Field(
        default_factory=list,
        max_length=8,
        title="Stop strings",
        description="An answer ends before the first of these. One a line, at most 8.",
        json_schema_extra={"section": "Sampling", "widget": "lines"},
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=MAX_SEED,
        title="Seed",
        description="The same seed and settings give the same samples.",
        json_schema_extra={"section": "Sampling"},
    )
    # --- prompt
    chat: bool = Field(
        default=True,
        title="Use the model's chat template",
        description="For instruction-tuned models. Off: the prompt is plain text to be continued.",
        json_schema_extra={"section": "Prompt"},
    )
    system: LongText = Field(
        default="",
        title="System message",
        description="Comes before everything else. Chat only; empty: the template's own, if it has one.",
        json_schema_extra={"section": "Prompt", "widget": "textarea"},
    )
    template: LongText = Field(
        default=QUESTION,
        title="Prompt template",
        description="The text around each question; {question} stands for it.",
        json_schema_extra={"section": "Prompt", "widget": "textarea"},
    )
    few_shot: list[Example] = Field(
        default_factory=list,
        max_length=32,
        title="Few-shot examples",
        description="Solved problems shown before each question. All samples share them, so they cost little.",
        json_schema_extra={"section": "Prompt", "widget": "examples"},
    )
    # --- grading
    verifier: str = Field(
        default="math-verify",
        max_length=40,
        title="Verifier",
        description="Decides whether an answer is correct. You can grade again with another one later.",
        json_schema_extra={
            "section": "Grading",
            "choices": [[verifier.name, verifier.title] for verifier in VERIFIERS.values()],
        },
    )

    grade_seconds: float = Field(
        default=10.0,
        ge=0.1,
        le=600,
        title="Time limit",
        description="Of computing, for one test, proof or call, unless the problem sets one. Later is no wrong answer.",
        json_schema_extra={"section": "Grading", "unit": "seconds", "step": 0.1},
    )
    grade_memory: int = Field(
        default=1024,
        ge=64,
        le=65_536,
        title="Memory limit",
        description="For a program that is run to grade it.",
        json_schema_extra={"section": "Grading", "unit": "MB"},
    )
    grade_repeats: int = Field(
        default=1,
        ge=1,
        le=11,
        title="Runs of a patch's tests",
        description="The majority decides. 11 as published, because some projects' tests are flaky. Patches only.",
        json_schema_extra={"section": "Grading", "unit": "runs", "only": {"verifier": ["patch"]}},
    )
    grade_target: Annotated[str, AfterValidator(_storable), AfterValidator(str.strip)] = Field(
        default="",
        validate_default=True,
        max_length=300,
        title="Your own verifier",
        description="module:function, or the address of an endpoint. Only for those two verifiers.",
        json_schema_extra={"section": "Grading", "only": {"verifier": _WITH_TARGET}},
    )

    # --- scoring
    scorer: Annotated[str, StringConstraints(max_length=300), AfterValidator(_storable), AfterValidator(str.strip)] = (
        Field(
            default="",
            title="Reward model",
            description="Scores every answer, for best-of-n and weighted votes: a folder on the workers or a hub id of "
            "a sequence classifier in safetensors. Empty: none. One can be chosen later.",
            json_schema_extra={"section": "Scoring"},
        )
    )
    scorer_label: int | None = Field(
        default=None,
        ge=0,
        le=10_000,
        title="Output that is the score",
        description="For a reward model with several outputs, counted from 0. Empty: it has one.",
        json_schema_extra={"section": "Scoring"},
    )

    extra: list[ExtraDraw] = Field(
        default_factory=list,
        max_length=100,
        title="Extra draws",
        description="Further samples of some problems, put where they help most, each draw with what it draws up to.",
        json_schema_extra={"section": "Sampling", "widget": "none"},
    )
    imported: ImportedFile | None = Field(
        default=None,
        title="Imported from",
        description="Results made elsewhere. Only the settings that the file tells are known.",
        json_schema_extra={"section": "Import", "widget": "none"},
    )

    @model_serializer(mode="wrap")
    def _only_what_is_known(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Of an import only what was set: a default would claim a temperature that nobody knows."""
        values: dict[str, Any] = handler(self)
        if not self.extra:
            values.pop("extra", None)
        if self.imported is None:
            values.pop("imported", None)
            return values
        return {name: value for name, value in values.items() if name in self.model_fields_set}

    @field_validator("problems")
    @classmethod
    def _known_form(cls, value: str) -> str:
        return known_problems(value)

    @field_validator("temperature")
    @classmethod
    def _not_nearly_zero(cls, value: float) -> float:
        if 0 < value < 0.01:  # logits divided by it would overflow
            raise ValueError("use 0, or 0.01 and more")
        return value

    @field_validator("system")
    @classmethod
    def _only_in_chat(cls, value: str, info: ValidationInfo) -> str:
        if value and info.data.get("chat") is False:
            raise ValueError("plain-text prompts have no system message; put it into the template or turn chat on")
        return value

    @field_validator("template")
    @classmethod
    def _has_question(cls, value: str) -> str:
        if value.count(QUESTION) != 1:
            raise ValueError(f"write {QUESTION} exactly once, where the question goes")
        return value

    _known_verifier = field_validator("verifier")(known_verifier)
    _target_where_needed = field_validator("grade_target")(target_where_needed)

    @property
    def scorer_name(self) -> str:
        """What the scores are kept under; empty without a reward model."""
        return self.scorer if self.scorer_label is None else f"{self.scorer}, output {self.scorer_label}"

    @property
    def problem_set_code(self) -> uuid.UUID | None:
        """The uploaded set's code; None for a bundled set."""
        place, _, name = self.problems.partition("/")
        return uuid.UUID(name) if place == "set" else None
