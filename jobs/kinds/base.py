"""What a kind of experiment gives to the job backend.

Two sides, two processes. The *database side* (Spec, plan, prepare, record, ...) runs in web and supervisor processes.
The *runner side* is one function, ``run(stage, job, context)`` in the module ``runner_module``: it runs inside the warm
runner process, imports no Django, gets a JSON-able job and reports through a Context. A killed runner therefore never
holds a database connection or a lock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import BaseModel

if TYPE_CHECKING:
    from jobs.models import Experiment, Shard

Row = Mapping[str, Any]


class SpecError(ValueError):
    """A valid Spec that cannot be run here and now: no such problem set, too many samples. Says what to do."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """One shard to create. ``total`` counts the units its progress bar shows."""

    payload: dict[str, Any]
    total: int


@dataclass(frozen=True, slots=True)
class StagePlan:
    """An ordered stage. ``pairwise``: shard i starts when shard i of the stage before is done, so results flow while
    the earlier stage still runs; otherwise the stage waits for the whole stage before."""

    name: str
    queue: str  # "gpu" or "cpu"
    unit: str  # what is counted: "samples"
    pairwise: bool = False
    aside: bool = False  # asked for after the end: the experiment stays what it is whatever comes of these shards
    regardless: bool = False  # done with what there is once nothing before it is left to do, though some of it failed
    shards: Sequence[ShardPlan] = field(default_factory=tuple)


class Kind(ABC):
    """The database side of a kind."""

    name: ClassVar[str]
    title: ClassVar[str]
    Spec: ClassVar[type[BaseModel]]
    is_offered: ClassVar[bool] = True  # False: no form and no page yet, code alone submits it
    runner_module: ClassVar[str]  # dotted path of a module with ``run(stage, job, context)``; imports no Django

    @abstractmethod
    def plan(self, experiment: Experiment, spec: Any) -> list[StagePlan]:
        """The stages of an experiment, deterministic: the same Spec gives the same shards and seeds. Called again
        when the Spec grew ("draw more"): shards that already exist (same stage and index) stay as they are, so a
        longer plan must begin with the shorter one's shards. A whole-experiment shard is run again then. Raises
        SpecError."""

    @abstractmethod
    def create_rows(self, experiment: Experiment, spec: Any) -> None:
        """Write what every shard needs (problems, ...) inside the transaction that creates the experiment, before
        plan() is called. Raises SpecError."""

    @abstractmethod
    def prepare(self, shard: Shard) -> dict[str, Any]:
        """The JSON-able job for the runner: only what is still missing, so that a second attempt resumes exactly.
        Plus key "done": units already there."""

    @abstractmethod
    def record(self, shard: Shard, rows: Sequence[Row], seq: int) -> int:
        """Write rows idempotently, stamped with ``seq``, inside the caller's transaction; return how many units are
        new. Doing the same rows twice changes nothing."""

    @abstractmethod
    def changes(self, experiment: Experiment, after: int) -> dict[str, Any]:
        """The kind's own part of the live state that changed after ``seq``: absolute values, JSON-able, bounded in
        size whatever the number of samples."""

    @abstractmethod
    def summary(self, experiment: Experiment) -> dict[str, Any]:
        """What lists and comparisons show: {"label", "value", "text", "spark": [floats]}."""

    def spec_changed(self, experiment: Experiment, spec: Any) -> None:  # noqa: B027  # most kinds keep no such figures
        """Bring figures that were counted under the old Spec in line with the new one, inside the transaction that
        stores it."""

    def news(self, shard: Shard) -> dict[str, Any]:
        """What the runner of a shard should hear while it works: JSON-able, the whole each time. The supervisor asks
        about once a second and passes on what changed (Context.news)."""
        return {}

    def reopen(self, experiment: Experiment) -> None:
        """Forget verdicts before a re-grade. Kinds that can be graded again override this. Raises SpecError."""
        raise TypeError(f"experiments of the kind {self.name} cannot be graded again")


class Context(Protocol):
    """What a runner-side ``run`` sees of the world. All calls are cheap and thread-safe; rows are buffered."""

    data_dir: Path

    @property
    def cancelled(self) -> bool:
        """True once the shard must stop; check between steps and return."""

    @property
    def news(self) -> Mapping[str, Any]:
        """The last Kind.news of this shard; empty until there is some."""

    def progress(self, done: int) -> None:
        """Units done so far in this shard (those done by earlier attempts included). Also proves the runner alive:
        call it, or ``alive``, at least every few seconds of work."""

    def alive(self) -> None: ...

    def row(self, row: Row) -> None: ...

    def metrics(self, values: Mapping[str, float], seconds: float) -> None:
        """Means over the last ``seconds``, on this worker. Pages show their sum over the workers that draw."""

    def log(self, text: str, level: str = "info") -> None: ...

    def artifact(self, path: Path, name: str, content_type: str) -> None:
        """Keep a finished file under ``name`` (replaces an older one of that name)."""
