"""What the API answers, typed. Fields that a newer server adds are kept out of the way, not refused."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

ENDED = frozenset({"finished", "failed", "cancelled"})


class Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Person(Answer):
    code: str
    name: str


class Team(Answer):
    code: str
    name: str
    role: str
    can_write: bool


class Token(Answer):
    name: str
    prefix: str
    scope: str
    is_service_account: bool
    expires_at: datetime | None


class Me(Answer):
    token: Token
    person: Person | None
    teams: list[Team]


class Kind(Answer):
    name: str
    title: str
    spec_schema: dict[str, Any]


class Experiment(Answer):
    code: str
    team: str
    kind: str
    name: str
    status: str
    reason: str
    priority: str
    owner: Person | None
    spec: dict[str, Any]
    summary: dict[str, Any]
    percent: int | None
    seq: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    url: str

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


class Curve(Answer):
    """Coverage over k as fractions, with its 95% band."""

    k: list[int]
    coverage: list[float]
    lo: list[float]
    hi: list[float]
    complete_to: int
    estimator: str = ""  # in words; older servers do not say

    def at(self, k: int) -> float | None:
        """Coverage at ``k``; None where the curve does not reach."""
        return self.coverage[self.k.index(k)] if k in self.k else None


class ExtraDraw(Answer):
    """What drawing more where it helps would do; model-based."""

    number: int
    samples: int
    problems: int
    unsolved: int
    newly_solved: float
    lo: float
    hi: float
    evenly: float
    tokens: float | None
    worker_seconds: float | None
    dollars: float | None


class Sample(Answer):
    problem: int
    problem_uid: str
    index: int
    seed: int | None
    verdict: str
    answer: str
    canonical: str
    reason: str
    tokens: int | None
    logprob: float | None
    self_certainty: float | None
    reward: float | None
    finish: str
    grade_seconds: float | None
    text: str | None


class Problem(Answer):
    index: int
    uid: str
    question: str
    answer: str
    n: int
    c: int
    errors: int
    timeouts: int
    extra_n: int
    extra_c: int
    drawn: int
    tokens: int


class File(Answer):
    name: str
    title: str
    content_type: str
    size: int | None
    url: str


class ProblemSet(Answer):
    value: str
    name: str
    count: int
    bundled: bool


class DataSet(Answer):
    value: str  # for a detection spec's data
    code: str
    name: str
    state: str
    reason: str
    counts: dict[str, Any]
    classes: list[str]
    has_masks: bool
    report: dict[str, Any]
    reader: str | None


class Score(Answer):
    """A run's APs in 0..1 at one test angle in degrees."""

    run: int
    label: str
    architecture: str
    rule: str
    delta: float | None
    seed: int
    angle: float
    ap: float | None
    ap50: float | None
    ap75: float | None


class Run(Answer):
    index: int
    label: str
    architecture: str
    rule: str
    delta: float | None
    seed: int
    epochs: int
    best_epoch: int | None
    best_ap: float | None
    stopped: str


class LabelQuality(Answer):
    rule: str
    angle: float
    share50: float
    share75: float
    mean_iou: float
    objects: int


class TriedPicture(Answer):
    code: str
    name: str
    state: str
    reason: str
    size: int
    angles: list[float]
    found: dict[str, dict[str, list[list[float]]]]


class SceneSet(Answer):
    value: str  # for a scene spec's data
    code: str
    name: str
    state: str
    reason: str
    counts: dict[str, Any]
    report: dict[str, Any]
    reader: str | None


class TrainedStage(Answer):
    stage: str
    steps: int
    stopped: str
    reused_from: str | None
    seconds: float | None
    progress: dict[str, Any]


class Loss(Answer):
    stage: str
    step: int
    values: dict[str, float]


class Scene(Answer):
    number: int
    operation: str
    settings: dict[str, Any]
    seed: int
    parent: int | None
    other: int | None
    state: str
    status: str
    reason: str
    values: dict[str, Any]
    previews: list[dict[str, str]]
    files: list[str]

    @property
    def is_open(self) -> bool:
        """Whether it may still be drawn."""
        return self.status in ("waiting", "queued", "running")


class SceneScore(Answer):
    subject: str
    metric: str
    value: float | None
    title: str
    unit: str
    better: str
    count: int


class Worker(Answer):
    name: str
    queue: str
    host: str
    device: str
    is_alive: bool
    heartbeat_at: datetime
    experiment: str | None


class Stage(Answer):
    name: str
    unit: str
    state: str
    done: int
    total: int


class LiveState(Answer):
    after: int
    seq: int
    status: str
    reason: str
    name: str
    eta_seconds: float | None
    waiting: str | None = None
    stages: list[Stage]
    kind: dict[str, Any]

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


class ShareLink(Answer):
    code: str
    team: str
    target: str
    scope: dict[str, Any]
    title: str | None
    label: str
    state: str
    prefix: str
    include_samples: bool
    anonymous: bool
    frozen_at: datetime | None
    embed_hosts: list[str]
    shows: list[str]
    hides: list[str]
    terms: list[str]
    made_by: str
    created_at: datetime
    expires_at: datetime | None
    use_count: int
    last_used_at: datetime | None


class NewShareLink(ShareLink):
    url: str
    qr: str
    embed_url: str
    embed_code: str
