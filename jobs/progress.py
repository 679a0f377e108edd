"""How far experiments are, and when they will be done: two queries for any number of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Sum
from django.utils import timezone

from jobs.forecast import Pace, StagePace, eta_seconds
from jobs.models import Experiment, Shard, ShardStatus

_PACED_SHARDS = 1000  # the latest ones of all experiments; enough to tell each one's rate


@dataclass(frozen=True, slots=True)
class Progress:
    percent: int
    eta_seconds: float | None  # None before any stage has a measured rate
    stage: str  # the running stage that is furthest; "" while none runs


def progress_of(experiments: Sequence[Experiment]) -> dict[int, Progress]:
    """By the experiment's id."""
    pks = [each.pk for each in experiments]
    sums = (
        Shard.objects.filter(experiment__in=pks, aside=False)
        .values("experiment_id", "stage", "status")
        .annotate(finished=Sum("done"), units=Sum("total"))
        .order_by()
    )
    done: dict[int, dict[str, int]] = {pk: {} for pk in pks}
    total: dict[int, dict[str, int]] = {pk: {} for pk in pks}
    running: dict[int, set[str]] = {pk: set() for pk in pks}
    for row in sums:
        pk, stage = row["experiment_id"], row["stage"]
        done[pk][stage] = done[pk].get(stage, 0) + row["finished"]
        total[pk][stage] = total[pk].get(stage, 0) + row["units"]
        if row["status"] == ShardStatus.RUNNING:
            running[pk].add(stage)
    paces = _paces(pks)
    return {
        each.pk: Progress(
            percent=100 * sum(done[each.pk].values()) // max(1, sum(total[each.pk].values())),
            eta_seconds=eta_seconds(
                StagePace(total[each.pk][stage] - done[each.pk][stage], paces.get((each.pk, stage), []))
                for stage in total[each.pk]
            ),
            stage=next((one["name"] for one in reversed(each.stages) if one["name"] in running[each.pk]), ""),
        )
        for each in experiments
    }


def _paces(experiments: Sequence[int]) -> dict[tuple[int, str], list[Pace]]:
    now = timezone.now()
    shards = Shard.objects.filter(
        experiment__in=experiments, started_at__isnull=False, status__in=[ShardStatus.RUNNING, ShardStatus.DONE]
    ).order_by("-started_at")
    rows = shards.values_list("experiment_id", "stage", "status", "done", "resumed_from", "started_at", "finished_at")
    paces: dict[tuple[int, str], list[Pace]] = {}
    for pk, stage, status, done, resumed, started, finished in rows[:_PACED_SHARDS]:
        assert started is not None
        seconds = ((finished or now) - started).total_seconds()
        paces.setdefault((pk, stage), []).append(Pace(done - resumed, seconds, status == ShardStatus.RUNNING))
    return paces
