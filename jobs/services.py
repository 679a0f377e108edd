"""Everything that starts, changes or ends an experiment. Pages, commands and the demo all go through here.

Each function is one transaction; workers are rung when it is committed. ``Refused`` says in a sentence why the
experiment's state does not allow what was asked. Teams and people are the web app's models, which jobs never imports.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from django.core.files.storage import Storage
from django.db import transaction
from django.db.models import Q, Sum
from pydantic import BaseModel, ValidationError

from jobs import dispatch, leases, live, logbook, usage
from jobs.kinds.base import Kind, SpecError, StagePlan
from jobs.models import Artifact, Experiment, Priority, Queue, Shard, ShardStatus, Status, Worker, next_seq

logger = logging.getLogger(__name__)

# By convention the stages that "grade again" and "score with" start from, in kinds that have them.
GRADE_STAGE, SCORE_STAGE = "grade", "score"


class Refused(Exception):
    """The experiment's state, or its kind, does not allow what was asked."""


@transaction.atomic
def submit(
    *, team: Any, owner: Any, kind: str, name: str, spec: BaseModel, priority: int = Priority.NORMAL, by: str = ""
) -> Experiment:
    """Create an experiment with all its shards and call workers. ``by``: who did it, where that is not the owner."""
    experiment = Experiment.objects.create(
        team=team, owner=owner, kind=kind, name=name, spec=spec.model_dump(mode="json"), priority=priority
    )
    try:
        experiment.kind_object.create_rows(experiment, spec)
    except SpecError as error:
        raise Refused(str(error)) from None
    seq = next_seq(experiment.pk)
    apply_plan(experiment, spec, seq)
    _keep_to_quota(experiment)
    logbook.write(experiment.pk, seq, [logbook.Line(f"Submitted by {by or owner}.")])
    leases.roll_up(experiment.pk, seq)
    experiment.refresh_from_db()
    return experiment


@transaction.atomic
def cancel(*, experiment: Experiment, by: Any) -> None:
    """Stop an open experiment. What was recorded stays."""
    if _locked(experiment).has_ended:
        raise Refused("The experiment has already ended.")
    leases.cancel(experiment.pk, f"Cancelled by {by}.")


@transaction.atomic
def retry(*, experiment: Experiment) -> None:
    """Queue what failed or was cancelled once more, with fresh attempts. Nothing done is done again but what was made
    regardless of the failure."""
    current = _locked(experiment)
    if current.status not in (Status.FAILED, Status.CANCELLED):
        raise Refused("Only a failed or cancelled experiment can be retried.")
    seq = next_seq(current.pk)
    undone = Q(status__in=[ShardStatus.FAILED, ShardStatus.CANCELLED])
    leases.reopen(current.shards.filter(undone | Q(regardless=True)), seq)
    _queue_again(current, seq, "Retried.")


@transaction.atomic
def draw_more(*, experiment: Experiment, samples: int) -> None:
    """Raise the number of samples per problem to ``samples`` in all."""
    current = _locked(experiment)
    if current.status not in (Status.RUNNING, Status.FINISHED, Status.QUEUED):
        raise Refused("Retry the experiment first: parts of it failed or were cancelled.")
    if samples <= current.spec.get("samples", 0):
        raise Refused(f"There are {current.spec.get('samples', 0):,} samples per problem already: ask for more.")
    seq = next_seq(current.pk)
    _change_spec(current, seq, samples=samples)
    _queue_again(current, seq, f"Drawing up to {samples:,} samples per problem.")


@transaction.atomic
def draw_extra(*, experiment: Experiment, draw: BaseModel, number: int | None = None) -> None:
    """Add ``draw`` to the Spec's extra draws: further samples of some problems.

    ``number``: its place among them, from 1. A request that was sent twice draws once: the second one finds its place
    taken.
    """
    current = _locked(experiment)
    if current.status not in (Status.RUNNING, Status.FINISHED, Status.QUEUED):
        raise Refused("Retry the experiment first: parts of it failed or were cancelled.")
    earlier = current.spec.get("extra", [])
    if number is not None and number != len(earlier) + 1:
        raise Refused("More was drawn since this preview was made. Look at a fresh one before you draw again.")
    seq = next_seq(current.pk)
    before = _planned(current)
    _change_spec(current, seq, extra=[*earlier, draw.model_dump(mode="json")])
    drawn = _planned(current) - before
    if not drawn:
        raise Refused("Nothing to draw: no problem would get a sample.")
    _queue_again(current, seq, f"Drawing {drawn:,} more samples where they help.")


def _planned(experiment: Experiment) -> int:
    """Units of the first stage."""
    return int(experiment.shards.filter(stage_index=0).aggregate(total=Sum("total"))["total"] or 0)


@transaction.atomic
def regrade(*, experiment: Experiment, verifier: str) -> None:
    """Grade every sample again with ``verifier``; no sample is drawn anew."""
    current = _locked(experiment)
    stage = next((i for i, stage in enumerate(current.stages) if stage["name"] == GRADE_STAGE), None)
    if stage is None:
        raise Refused("Experiments of this kind are not graded.")
    if current.status != Status.FINISHED:
        raise Refused("Only a finished experiment can be graded again.")
    seq = next_seq(current.pk)
    _change_spec(current, seq, verifier=verifier)
    try:
        current.kind_object.reopen(current)
    except SpecError as error:
        raise Refused(str(error)) from None
    leases.reopen(current.shards.filter(stage_index__gte=stage), seq)
    _queue_again(current, seq, f"Grading again with {verifier}.")


@transaction.atomic
def score(*, experiment: Experiment, scorer: str, label: int | None = None) -> None:
    """Score every sample with the reward model ``scorer`` (``label``: which of several outputs); empty: with none.

    What another one gave before is kept. A finished experiment needs nothing else done again but its files; one whose
    scoring failed can be given another reward model.
    """
    current = _locked(experiment)
    if "scorer" not in current.kind_object.Spec.model_fields:
        raise Refused("Experiments of this kind are not scored.")
    stage = _scoring_stage(current)
    unfinished = current.shards.filter(stage_index__lt=stage).exclude(status=ShardStatus.DONE)
    failed_here = current.status == Status.FAILED and not unfinished.exists()
    if current.status != Status.FINISHED and not failed_here:
        raise Refused("Only a finished experiment can be scored.")
    if (scorer.strip(), label) == (current.spec.get("scorer", ""), current.spec.get("scorer_label")):
        raise Refused(f"It is scored with {scorer.strip() or 'no reward model'} already.")
    seq = next_seq(current.pk)
    _change_spec(current, seq, scorer=scorer, scorer_label=label)
    if not current.spec["scorer"]:
        current.shards.filter(stage=SCORE_STAGE).delete()
    leases.reopen(current.shards.filter(stage_index__gte=stage), seq)
    note = f"Scoring with {current.spec['scorer']}." if current.spec["scorer"] else "Scored with no reward model now."
    _queue_again(current, seq, note)


@transaction.atomic
def set_priority(*, experiment: Experiment, priority: int) -> None:
    """Takes effect for shards that are not claimed yet."""
    current = _locked(experiment)
    if current.has_ended:
        raise Refused("The experiment has already ended.")
    _set(current, priority=Priority(priority), note=f"Priority: {Priority(priority).label.lower()}.")


@transaction.atomic
def reorder(*, team: Any, experiments: Sequence[Experiment]) -> None:
    """Have the team's experiments begin in this order, as far as their priorities are alike. Those that are not named
    come after them."""
    if any(experiment.team_id != team.pk for experiment in experiments):
        raise Refused("Only the team's own experiments can be ordered.")
    for place, experiment in enumerate(experiments):
        Experiment.objects.filter(pk=experiment.pk).update(place=place - len(experiments))


@transaction.atomic
def drain(*, worker: Worker, draining: bool) -> None:
    """Have a worker finish its shard and take nothing new; or take shards again, with a ring to begin."""
    Worker.objects.filter(pk=worker.pk).update(draining=draining)
    worker.draining = draining
    if not draining:
        dispatch.ring_on_commit({worker.queue: 1})


@transaction.atomic
def rename(*, experiment: Experiment, name: str) -> None:
    _set(_locked(experiment), name=name, note=f"Renamed to {name}.")


@transaction.atomic
def delete(*, experiment: Experiment) -> None:
    """Delete an ended experiment with its rows and files."""
    current = _locked(experiment)
    if not current.has_ended:
        raise Refused("Cancel the experiment first: workers may be running it.")
    files = [artifact.file for artifact in Artifact.objects.filter(experiment=current)]
    stored = [(file.storage, file.name) for file in files if file.name]
    current.delete()
    transaction.on_commit(lambda: _delete_files(stored))


def _scoring_stage(experiment: Experiment) -> int:
    """The place of the stage that scores; beyond all others where there is none yet."""
    names = [stage["name"] for stage in experiment.stages]
    return names.index(SCORE_STAGE) if SCORE_STAGE in names else len(names)


# --- inside -----------------------------------------------------------------------------------------------------------


def _locked(experiment: Experiment) -> Experiment:
    """The experiment as it is now, its row locked until the transaction ends."""
    try:
        return Experiment.objects.select_for_update(of=("self",)).get(pk=experiment.pk)
    except Experiment.DoesNotExist:
        raise Refused("The experiment was deleted.") from None


def _set(experiment: Experiment, *, note: str, **fields: Any) -> None:
    seq = next_seq(experiment.pk)
    Experiment.objects.filter(pk=experiment.pk).update(**fields)
    logbook.write(experiment.pk, seq, [logbook.Line(note)])
    live.announce_on_commit(experiment.pk)


def _keep_to_quota(experiment: Experiment) -> None:
    needs_gpu = any(stage["queue"] == Queue.GPU for stage in experiment.stages)
    if refusal := usage.refusal(experiment.team_id, needs_gpu=needs_gpu):
        raise Refused(refusal)


def _queue_again(experiment: Experiment, seq: int, note: str) -> None:
    _keep_to_quota(experiment)
    if experiment.has_ended:
        Experiment.objects.filter(pk=experiment.pk).update(
            status=Status.QUEUED, reason="", started_at=None, finished_at=None
        )
    logbook.write(experiment.pk, seq, [logbook.Line(note)])
    leases.roll_up(experiment.pk, seq)


def _change_spec(experiment: Experiment, seq: int, **changes: Any) -> None:
    """Validate the changed Spec, store it and bring the shards in line with it."""
    kind: Kind = experiment.kind_object
    try:
        spec = kind.Spec.model_validate({**experiment.spec, **changes})
    except ValidationError as error:
        first = error.errors()[0]
        raise Refused(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
    experiment.spec = spec.model_dump(mode="json")
    Experiment.objects.filter(pk=experiment.pk).update(spec=experiment.spec)
    apply_plan(experiment, spec, seq)
    kind.spec_changed(experiment, spec)


def apply_plan(experiment: Experiment, spec: BaseModel, seq: int) -> None:
    """Create the shards that the plan has and the experiment has not. A shard whose task changed, or that stands
    behind a new or changed one, is done again."""
    try:
        stages = experiment.kind_object.plan(experiment, spec)
    except SpecError as error:
        raise Refused(str(error)) from None
    experiment.stages = [{"name": stage.name, "queue": stage.queue, "unit": stage.unit} for stage in stages]
    Experiment.objects.filter(pk=experiment.pk).update(stages=experiment.stages)
    known = {(shard.stage, shard.index): shard for shard in experiment.shards.all()}
    new: list[Shard] = []
    fresh: set[tuple[int, int]] = set()  # (stage, index) of created and changed shards
    stale: list[int] = []
    for stage_index, stage in enumerate(stages):
        experiment.shards.filter(stage=stage.name).update(stage_index=stage_index)  # a stage may come in before it
        earlier_fresh = bool(fresh)
        for index, plan in enumerate(stage.shards):
            shard = known.get((stage.name, index))
            if shard is None:
                new.append(_new_shard(experiment, stage, stage_index, index, seq))
                fresh.add((stage_index, index))
                continue
            changed = shard.payload != plan.payload or shard.total != plan.total
            behind = (stage_index - 1, index) in fresh if stage.pairwise else earlier_fresh
            if changed:
                Shard.objects.filter(pk=shard.pk).update(payload=plan.payload, total=plan.total)
            if changed or behind:
                stale.append(shard.pk)
                fresh.add((stage_index, index))
    Shard.objects.bulk_create(new, batch_size=500)
    leases.reopen(Shard.objects.filter(pk__in=stale), seq)


def _new_shard(experiment: Experiment, stage: StagePlan, stage_index: int, index: int, seq: int) -> Shard:
    plan = stage.shards[index]
    return Shard(
        experiment=experiment,
        stage=stage.name,
        stage_index=stage_index,
        index=index,
        queue=stage.queue,
        payload=plan.payload,
        total=plan.total,
        pairwise=stage.pairwise,
        aside=stage.aside,
        regardless=stage.regardless,
        status=ShardStatus.WAITING,  # jobs.leases decides what is queued
        seq=seq,
    )


def _delete_files(stored: Sequence[tuple[Storage, str]]) -> None:
    for storage, name in stored:
        try:
            storage.delete(name)
        except OSError:
            logger.exception("the file %s of a deleted experiment could not be removed", name)
