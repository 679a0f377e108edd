"""What teams use of the machines: kept day by day as attempts end, and compared with their quotas.

An attempt counts whole on the day it ends, however it ends. Running attempts count as far as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime

from django.db.models import Count, F, Sum
from django.utils import timezone

from jobs.models import Artifact, Experiment, Queue, Quota, Shard, ShardStatus, WorkerTime


def record_attempt(shard: Shard, now: datetime) -> None:
    """Count the attempt of ``shard`` that ends now. Call it inside the transaction that ends it."""
    if shard.started_at is None:
        return
    team_id = Experiment.objects.values_list("team_id", flat=True).get(pk=shard.experiment_id)
    row, _ = WorkerTime.objects.get_or_create(team_id=team_id, day=now.astimezone(UTC).date(), queue=shard.queue)
    WorkerTime.objects.filter(pk=row.pk).update(
        seconds=F("seconds") + max(0.0, (now - shard.started_at).total_seconds()), attempts=F("attempts") + 1
    )


def month_of(now: datetime) -> date:
    """The first day of the month, in UTC."""
    return now.astimezone(UTC).date().replace(day=1)


def gpu_seconds(teams: Iterable[int], now: datetime) -> dict[int, float]:
    """Of each team, by primary key, in this calendar month: ended attempts, and running ones as far as they are."""
    keys = list(teams)
    found = WorkerTime.objects.filter(team__in=keys, queue=Queue.GPU, day__gte=month_of(now))
    used = dict.fromkeys(keys, 0.0)
    used.update(found.values_list("team").annotate(total=Sum("seconds")).order_by())
    running = Shard.objects.filter(queue=Queue.GPU, status=ShardStatus.RUNNING, experiment__team__in=keys)
    for team_id, started in running.values_list("experiment__team_id", "started_at"):
        if started is not None:
            used[team_id] += max(0.0, (now - started).total_seconds())
    return used


def stored_bytes(team_id: int) -> int:
    return Artifact.objects.filter(experiment__team_id=team_id).aggregate(total=Sum("size"))["total"] or 0


@dataclass(frozen=True, slots=True)
class Use:
    """One line of a team's quota, in the unit of the quota."""

    name: str
    used: float
    limit: float | None

    @property
    def is_full(self) -> bool:
        return self.limit is not None and self.used >= self.limit


def uses(team_id: int) -> dict[str, Use]:
    """GPU hours of this month, shards that run now and bytes stored, each against its quota."""
    quota = Quota.objects.filter(team_id=team_id).first() or Quota()
    now = timezone.now()
    running = Shard.objects.filter(status=ShardStatus.RUNNING, experiment__team_id=team_id).count()
    return {
        "gpu_hours": Use("GPU hours this month", gpu_seconds([team_id], now)[team_id] / 3600, quota.gpu_hours),
        "shards": Use("shards at once", running, quota.shards),
        "storage": Use("stored files", stored_bytes(team_id), quota.storage),
    }


def refusal(team_id: int, *, needs_gpu: bool) -> str | None:
    """Why the team may not submit anything now, in words; None when it may."""
    if not Quota.objects.filter(team_id=team_id).exists():
        return None
    found = uses(team_id)
    if found["storage"].is_full:
        limit = found["storage"].limit or 0
        return (
            f"The team's files fill its quota of {limit / 2**30:,.1f} GiB: delete experiments that are no longer "
            "needed, or ask the operator for more."
        )
    if needs_gpu and found["gpu_hours"].is_full:
        return f"{hours_are_used(found['gpu_hours'].limit or 0, timezone.now())} Ask the operator for more."
    return None


def hours_are_used(limit: float, now: datetime) -> str:
    first = month_of(now)
    following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return f"The team's {limit:g} GPU hours of {first:%B} are used; new ones come on {following.day} {following:%B}."


def blocked(queue: str, teams: Iterable[int]) -> dict[int, str]:
    """Teams whose queued shards no worker may take now, and why. Teams without a quota cost one query."""
    quotas = list(Quota.objects.filter(team__in=list(teams)))
    if not quotas:
        return {}
    now = timezone.now()
    keys = [quota.team_id for quota in quotas]
    used = gpu_seconds(keys, now) if queue == Queue.GPU else {}
    counted = Shard.objects.filter(status=ShardStatus.RUNNING, experiment__team__in=keys)
    at_once = dict(counted.values_list("experiment__team_id").annotate(n=Count("pk")).order_by())
    found: dict[int, str] = {}
    for quota in quotas:
        if quota.shards is not None and at_once.get(quota.team_id, 0) >= quota.shards:
            found[quota.team_id] = f"The team's {quota.shards:,} shards at once are running."
        elif quota.gpu_hours is not None and used.get(quota.team_id, 0) >= 3600 * quota.gpu_hours:
            found[quota.team_id] = hours_are_used(quota.gpu_hours, now)
    return found


def is_over(experiment_id: int) -> bool:
    """Whether the claim just made in this transaction is one too many: of two workers that claim at the same moment,
    the second one waits here for the first."""
    team_id = Experiment.objects.values_list("team_id", flat=True).get(pk=experiment_id)
    quota = Quota.objects.select_for_update().filter(team_id=team_id, shards__isnull=False).first()
    if quota is None or quota.shards is None:
        return False
    return Shard.objects.filter(status=ShardStatus.RUNNING, experiment__team_id=team_id).count() > quota.shards
