"""What goes in and out of the API, version 1. Times are ISO 8601 in UTC; codes are UUIDs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from ninja import Schema
from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from engine.problems import MAX_PROBLEMS
from jobs.models import Priority
from webapp.experiments.sampling.extra import MOST_SPEND, Unit

EXAMPLE_CODE = "5f0c2b5e-8f5b-4c0e-9a53-0d1f7f0f6c11"
PriorityName = Literal["low", "normal", "high"]
PRIORITIES: dict[str, int] = {"low": Priority.LOW, "normal": Priority.NORMAL, "high": Priority.HIGH}
PRIORITY_NAMES: dict[int, str] = {value: name for name, value in PRIORITIES.items()}


def _plain(text: str) -> str:
    """Databases store no NUL bytes."""
    return text.replace("\0", "").strip()


def _filled(text: str) -> str:
    if not text:
        raise ValueError("write some text here")
    return text


Name = Annotated[str, StringConstraints(max_length=120), AfterValidator(_plain)]
FilledName = Annotated[
    str, StringConstraints(min_length=1, max_length=120), AfterValidator(_plain), AfterValidator(_filled)
]
T = TypeVar("T")


class Asked(Schema):
    """The base of what clients send: a misspelt name is refused, not ignored."""

    model_config = ConfigDict(extra="forbid")


class Listing(Schema, Generic[T]):
    """One page. ``next_cursor`` goes into ``?cursor=`` of the next request; null on the last page."""

    items: list[T]
    next_cursor: str | None = None


class Person(Schema):
    code: UUID
    name: str


class TeamOut(Schema):
    code: UUID
    name: str
    role: str = Field(description="What the token's person, or service account, is in the team.", examples=["member"])
    can_write: bool = Field(description="Whether this token may change things here: by its role and by its scope.")


class TokenOut(Schema):
    name: str
    prefix: str = Field(examples=["cnp_w_Zk3v0a"])
    scope: str = Field(examples=["write"])
    is_service_account: bool
    expires_at: datetime | None


class Me(Schema):
    token: TokenOut
    person: Person | None = Field(description="Null for a service account.")
    teams: list[TeamOut]


class PresetOut(Schema):
    name: str
    title: str
    help: str
    spec: dict[str, Any] = Field(description="The values it sets; what it leaves out keeps its default.")


class KindOut(Schema):
    name: str = Field(examples=["sampling"])
    title: str
    spec_schema: dict[str, Any] = Field(description="JSON Schema of the spec: every setting with bounds and help.")
    presets: list[PresetOut]


class ExperimentOut(Schema):
    code: UUID = Field(examples=[EXAMPLE_CODE])
    team: UUID
    kind: str = Field(examples=["sampling"])
    name: str = Field(examples=["SmolLM2-135M-Instruct, arithmetic-60"])
    status: str = Field(description="queued, running, finished, failed or cancelled.", examples=["running"])
    reason: str = Field(description="Why it failed or was cancelled.")
    priority: str = Field(examples=["normal"])
    owner: Person | None
    spec: dict[str, Any]
    summary: dict[str, Any] = Field(examples=[{"label": "Coverage at 64", "value": 0.74, "text": "74.0%"}])
    percent: int | None = Field(description="Of a running experiment, over all stages.", examples=[45])
    seq: int = Field(description="Rises with every change; what ?after= of the live state takes.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    url: str = Field(description="Its page.")


class SubmitIn(Asked):
    """``spec`` holds the kind's settings (see GET /kinds); what it leaves out keeps its default."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "kind": "sampling",
                    "name": "First look",
                    "spec": {"problems": "bundled/arithmetic-60", "samples": 16, "temperature": 0.8},
                    "priority": "normal",
                }
            ]
        },
    )
    kind: str = Field(max_length=20)
    name: Name = Field(default="", description="Empty: named after the model and the problem set.")
    spec: dict[str, Any] = Field(default_factory=dict)
    priority: PriorityName = "normal"


class EstimateIn(Asked):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"kind": "sampling", "spec": {"samples": 16}}]}
    )
    kind: str = Field(max_length=20)
    spec: dict[str, Any] = Field(default_factory=dict)


class EstimateRowOut(Schema):
    label: str
    value: str
    known: str = Field(description="How it is known: measured, a guess, or empty.")


class EstimateOut(Schema):
    rows: list[EstimateRowOut]
    note: str


class ChangeIn(Asked):
    """What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "Baseline, seed 1"}]})
    name: FilledName | None = None
    priority: PriorityName | None = None


class MoreIn(Asked):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"samples": 256}]})
    samples: int = Field(ge=1, le=10**9, description="Samples per problem in all, more than there are.")


class ExtraDrawIn(Asked):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"spend": 500, "unit": "samples", "number": 1}]}
    )
    spend: float = Field(gt=0, le=MOST_SPEND, description="How much to spend, in the unit.")
    unit: Unit = "samples"
    number: int | None = Field(
        default=None,
        ge=1,
        le=10**6,
        description="The preview's number. With it a request that is sent twice draws once: the second one gets 409.",
    )


class DrawGroup(Schema):
    samples: int = Field(description="Further samples of each.")
    problems: int = Field(description="How many problems get so many.")


class ExtraDrawOut(Schema):
    """Model-based, by the beta-binomial law fitted to all graded samples."""

    number: int = Field(description="Of this draw among the experiment's extra draws, from 1.")
    samples: int
    problems: int = Field(description="That get at least one.")
    groups: list[DrawGroup]
    unsolved: int = Field(description="Problems without a correct sample so far.")
    newly_solved: float = Field(description="Expected number of problems solved for the first time.")
    lo: float = Field(description="Lower end of its 95% prediction interval.")
    hi: float
    evenly: float = Field(description="What the same spending would solve if it were spread over all problems.")
    tokens: float | None = Field(description="Expected; null when no length is known.")
    worker_seconds: float | None
    dollars: float | None


class RegradeIn(Asked):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"verifier": "gsm8k"}]})
    verifier: str = Field(max_length=40)


class ScoreIn(Asked):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"scorer": "org/reward-model"}]})
    scorer: str = Field(max_length=300, description="A folder on the workers or a hub id; empty: no reward model.")
    label: int | None = Field(default=None, ge=0, le=10_000, description="The output that is the score.")


class ProblemOut(Schema):
    index: int
    uid: str
    question: str
    answer: str
    n: int = Field(description="Graded samples.")
    c: int = Field(description="Correct ones.")
    errors: int = Field(description="Samples that the grader could not judge; part of n.")
    timeouts: int = Field(description="Part of errors.")
    extra_n: int = Field(description="Part of n: samples of extra draws, which estimates of coverage leave out.")
    extra_c: int = Field(description="Part of c.")
    drawn: int = Field(description="Samples there are, graded or not.")
    tokens: int = Field(description="Of all samples drawn.")
    first_correct: int | None = Field(
        description="Where problems stop when they are solved: the lowest index of a correct sample. n depends on c "
        "then, so c / n is biased."
    )


class SampleOut(Schema):
    problem: int = Field(description="The problem's index.")
    problem_uid: str
    index: int
    seed: int | None
    verdict: str = Field(examples=["correct"])
    answer: str = Field(description="As extracted from the text.")
    canonical: str = Field(description="Equal answers share it.")
    reason: str
    tokens: int | None = Field(description="Null, like the next ones, where an imported file or a service tells none.")
    logprob: float | None = Field(description="Sum over the answer's tokens, natural logarithm, at temperature 1.")
    self_certainty: float | None = Field(
        description="Mean over the answer's tokens of the divergence of the model's distribution from the uniform one."
    )
    reward: float | None = Field(description="Of the reward model in the settings, or as an imported file gave it.")
    finish: str = Field(examples=["stop"])
    grade_seconds: float | None
    text: str | None = Field(description="Null unless asked for with ?text=true.")


class SampleListing(Listing[SampleOut]):
    searched: int | None = Field(
        default=None, description="Texts read, when a search stopped before the end; go on with next_cursor."
    )


class CurveOut(Schema):
    """The unbiased estimate of coverage (pass@k), up to the fewest graded samples of any problem, from the samples that
    every problem has: extra draws are left out. Unless ?k= asks for others, k is spaced evenly on a logarithmic axis;
    the file coverage.csv has every k. Where problems stop when they are solved, it is the share of problems solved
    within the first k samples."""

    k: list[int]
    coverage: list[float] = Field(description="Fractions.")
    lo: list[float] = Field(description="Lower end of the 95% band.")
    hi: list[float] = Field(description="Upper end of the 95% band.")
    complete_to: int = Field(description="The largest k there is.")
    estimator: str = Field(description="What coverage is estimated by, in words.")


class FileOut(Schema):
    name: str = Field(examples=["samples.jsonl"])
    title: str
    content_type: str
    size: int | None = Field(description="Bytes; null for a file that is made while it is sent.")
    url: str = Field(description="Where to get it, with the same token.")


class ProblemSetOut(Schema):
    value: str = Field(description="What a spec's problems field takes.", examples=[f"set/{EXAMPLE_CODE}"])
    name: str
    count: int
    bundled: bool


class ProblemIn(Schema):
    id: Annotated[str, StringConstraints(max_length=100)] | None = Field(default=None, description="Unique in the set.")
    question: str
    answer: str


class ProblemSetIn(Asked):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "sums", "problems": [{"id": "a", "question": "What is 2 + 2?", "answer": "4"}]}]
        },
    )
    name: Annotated[
        str, StringConstraints(min_length=1, max_length=80), AfterValidator(_plain), AfterValidator(_filled)
    ]
    problems: list[ProblemIn] = Field(min_length=1, max_length=MAX_PROBLEMS)


class DataSetOut(Schema):
    value: str = Field(description="What a detection spec's data field takes.", examples=[f"set/{EXAMPLE_CODE}"])
    code: UUID
    name: str
    source: str = Field(description="upload or path.")
    format: str = Field(description="coco, voc or yolo; empty until it is read.")
    state: str = Field(description="reading, ready, refused (it cannot be used) or failed (it was not read).")
    reason: str
    counts: dict[str, Any] = Field(description="Images, objects, parts, and objects by class.")
    classes: list[str]
    has_masks: bool = Field(description="Whether every object has one: perfect labels and exact tests are possible.")
    report: dict[str, Any] = Field(description="What is wrong in it: counts by kind, and examples that name files.")
    reader: UUID | None = Field(description="The experiment that reads it, with the quality of its labels.")
    created_at: datetime


class DataSetFolderIn(Asked):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"path": "coco", "format": "coco"}]})
    path: str = Field(min_length=1, max_length=500, description="Of a folder, as the workers see it.")
    name: Annotated[str, StringConstraints(max_length=80), AfterValidator(_plain)] = ""
    format: Literal["", "coco", "voc", "yolo"] = ""


class RunOut(Schema):
    index: int
    label: str = Field(examples=["Ellipse + RU 10°, RetinaNet, seed 0"])
    architecture: str
    rule: str
    delta: float | None = Field(description="Of the RU loss, degrees; null without.")
    seed: int
    epochs: int = Field(description="Finished ones.")
    best_epoch: int | None
    best_ap: float | None = Field(description="On the validation images.")
    stopped: str = Field(description="finished or early; empty while it trains.")
    progress: dict[str, Any] = Field(description="The last step told: losses, images a second.")


class ScoreOut(Schema):
    run: int = Field(description="The run's index.")
    label: str
    architecture: str
    rule: str
    delta: float | None
    seed: int
    angle: float = Field(description="Degrees, counter-clockwise.")
    ap: float | None = Field(description="COCO's, 0 to 1; null where there is nothing to find.")
    ap50: float | None
    ap75: float | None


class ScoreDetailsOut(Schema):
    run: int
    angle: float
    ap: float | None
    ap50: float | None
    ap75: float | None
    classes: dict[str, list[float | None]] = Field(description="AP, AP50 and AP75 by class.")
    sizes: dict[str, list[float | None]] = Field(description="The same for small, medium and large objects.")
    curves: dict[str, list[float]] = Field(description="Precision at recalls 0, 0.01, ..., 1 by class, IoU 0.5.")
    curves75: dict[str, list[float]] = Field(default_factory=dict, description="The same at IoU 0.75.")
    confusion: list[list[int]] = Field(description="Rows true, columns found; the last is background.")
    images: int
    objects: int
    exact: bool = Field(description="Truth from turned masks, not from boxes by the ellipse rule.")


class LabelQualityOut(Schema):
    rule: str
    angle: float
    share50: float = Field(description="Of labels with an IoU of at least 0.5 with the turned mask's box.")
    share75: float
    mean_iou: float
    objects: int


class TriedOut(Schema):
    code: UUID
    name: str
    state: str
    reason: str
    size: int = Field(description="Side of the square canvas in pixels; 0 until the first detector has run.")
    angles: list[float]
    pictured: list[float]
    found: dict[str, dict[str, list[list[float]]]] = Field(
        description="By run index and angle: [class index from 0, score, x1, y1, x2, y2] of each detection, best first."
    )


class WorkerOut(Schema):
    name: str
    queue: str = Field(examples=["gpu"])
    host: str
    device: str
    is_alive: bool = Field(description="Whether it reported itself in the last 30 s.")
    draining: bool = Field(description="Whether it takes no new shard until an operator says so.")
    heartbeat_at: datetime
    experiment: UUID | None = Field(description="What it works on, if that is this team's.")
    processors: list[dict[str, Any]] = Field(description="What each of its processors said at the last heartbeat.")


class DrainIn(Schema):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"worker": "gpu@lab-3", "draining": True}]}
    )
    worker: str = Field(min_length=1, max_length=100, examples=["gpu@lab-3"])
    draining: bool = True


class PlaceOut(Schema):
    """An experiment with queued shards. What is another team's has its place and nothing else."""

    position: int | None = Field(description="1: the next free worker takes it; null: a quota is used.")
    experiment: UUID | None
    name: str | None
    priority: str
    shards_queued: int | None
    shards_running: int | None
    why: str = Field(examples=["The next free worker takes it."])
    starts_in_seconds: float | None = Field(description="Estimated; null where that is not known yet.")


class LineOut(Schema):
    queue: str = Field(examples=["gpu"])
    workers: int
    busy: int
    waiting: list[PlaceOut]


class UseOut(Schema):
    used: float
    limit: float | None


class QueueOut(Schema):
    queues: list[LineOut]
    uses: dict[str, UseOut] = Field(
        description="gpu_hours of this calendar month, shards at once, storage in bytes; each with the team's limit."
    )


class QueueOrderIn(Schema):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"experiments": [EXAMPLE_CODE]}]})
    experiments: list[UUID] = Field(min_length=1, max_length=1000, description="First first.")


class LiveState(Schema):
    """The state a page draws: absolute values, and the log lines, metrics, files and kind's rows changed after
    ``after``."""

    model_config = ConfigDict(extra="allow")
    after: int
    seq: int
    status: str
    reason: str
    name: str
    started: datetime | None
    finished: datetime | None
    eta_seconds: float | None
    stages: list[dict[str, Any]]
    log: list[dict[str, Any]]
    kind: dict[str, Any] = Field(description="The kind's own part: counters and curve, for sampling.")
