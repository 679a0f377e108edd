"""What a team used: hours of GPUs by day and member, and what they cost. A fixed number of queries.

Hours are those of shards on the GPU queue, from their last attempt's start to its end: what an earlier, failed attempt
took is not kept. A shard over midnight counts for each day with its part. Dollars are these hours at the price table's
hourly rate of the worker's device, and what services charged for tokens, on the day the experiment began.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

from django.db.models import Q
from django.utils import timezone

from engine.cost import Prices
from jobs.kinds import all_kinds
from jobs.models import Experiment, Queue, Shard, ShardStatus, Worker
from webapp.accounts.models import Team
from webapp.experiments.kind_pages import kind_page
from webapp.prices.lookup import gpu_price
from webapp.prices.table import prices_of

DAYS = 30
MOST_SHARDS = 50_000  # read one by one; a team that ran more in the time is told that the oldest are left out
MOST_CHARGED = 500  # experiments whose services' charges are added up
NOBODY = "left the team"
COUNTED = (ShardStatus.RUNNING, ShardStatus.DONE, ShardStatus.FAILED, ShardStatus.CANCELLED)

Key = tuple[date, str]  # a day and a member's name


@dataclass(slots=True)
class Usage:
    days: list[date]
    hours: dict[Key, float] = field(default_factory=lambda: defaultdict(float))
    dollars: dict[Key, float] = field(default_factory=lambda: defaultdict(float))
    unpriced: dict[str, float] = field(default_factory=lambda: defaultdict(float))  # hours by device
    is_cut: bool = False

    @property
    def members(self) -> list[str]:
        """Who used most comes first."""
        totals: dict[str, float] = defaultdict(float)
        for (_, name), value in self.hours.items():
            totals[name] += value
        for (_, name), value in self.dollars.items():
            totals.setdefault(name, 0.0)
            totals[name] += value * 1e-9  # only to have a place
        return sorted(totals, key=lambda name: (-totals[name], name))

    def hours_on(self, days: Iterable[date]) -> float:
        wanted = set(days)
        return sum(value for (day, _), value in self.hours.items() if day in wanted)

    def as_json(self) -> dict[str, object]:
        """For the figures: rows by member, columns by day."""

        def table(values: dict[Key, float]) -> list[list[float]]:
            return [[round(values.get((day, name), 0.0), 4) for day in self.days] for name in self.members]

        return {
            "days": [day.isoformat() for day in self.days],
            "members": self.members,
            "hours": table(self.hours),
            "dollars": table(self.dollars),
        }


def usage_of(team: Team, *, days: int = DAYS, now: datetime | None = None) -> Usage:
    """Of the last ``days`` days, today included, in the time zone of the installation."""
    now = now or timezone.now()
    today = timezone.localtime(now).date()
    usage = Usage([today - timedelta(days=days - 1 - i) for i in range(days)])
    prices = prices_of(team)
    _add_hours(usage, team, prices, now)
    _add_charges(usage, team, prices)
    return usage


def _add_hours(usage: Usage, team: Team, prices: Prices, now: datetime) -> None:
    since = _midnight(usage.days[0])
    shards = Shard.objects.filter(
        Q(finished_at__isnull=True, status=ShardStatus.RUNNING) | Q(finished_at__gt=since),
        experiment__team=team,
        queue=Queue.GPU,
        status__in=COUNTED,
        started_at__isnull=False,
    ).order_by("-started_at")
    rows = list(shards.values_list("started_at", "finished_at", "worker", "experiment__owner__name")[: MOST_SHARDS + 1])
    usage.is_cut = len(rows) > MOST_SHARDS
    devices = dict(Worker.objects.filter(name__in={row[2] for row in rows}).values_list("name", "device"))
    for started, finished, worker, owner in rows[:MOST_SHARDS]:
        assert started is not None
        device = devices.get(worker, "")
        _, price = gpu_price(device, prices)
        gpus = _gpus(device)
        for day, hours in by_day(started, finished or now):
            if day < usage.days[0]:
                continue
            key = (day, owner or NOBODY)
            usage.hours[key] += hours * gpus
            if price is None:
                usage.unpriced[device or "a worker that is gone"] += hours * gpus
            else:
                usage.dollars[key] += hours * gpus * price.per_hour


def _gpus(device: str) -> int:
    """``4 x NVIDIA A100``: four hours of GPU in each hour."""
    several = device.partition(" x ")
    return int(several[0]) if several[1] and several[0].isdigit() else 1


def _add_charges(usage: Usage, team: Team, prices: Prices) -> None:
    began = Experiment.objects.filter(team=team, started_at__gte=_midnight(usage.days[0])).select_related("owner")
    recent = list(began.order_by("-started_at")[:MOST_CHARGED])
    for kind in all_kinds():
        mine = [each for each in recent if each.kind == kind.name]
        charged = kind_page(kind.name).charged(mine, prices) if mine else {}
        for each in mine:
            if each.pk in charged and each.started_at:
                key = (timezone.localtime(each.started_at).date(), each.owner.name if each.owner else NOBODY)
                usage.dollars[key] += charged[each.pk]


def by_day(started: datetime, finished: datetime) -> list[tuple[date, float]]:
    """The hours of a stretch of time on each local day that it touches."""
    parts: list[tuple[date, float]] = []
    at = timezone.localtime(started)
    end = timezone.localtime(finished)
    while at < end:
        midnight = timezone.localtime(_midnight(at.date() + timedelta(days=1)))
        until = min(midnight, end)
        parts.append((at.date(), (until - at).total_seconds() / 3600))
        at = until
    return parts


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))
