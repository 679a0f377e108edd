"""Numbers for Prometheus at /metrics: what the database says about work and workers, and this process's own requests.

Off until CANOPY_METRICS_TOKEN is set, and then only for those who send it. Labels are few and bounded: routes, not
paths; kinds and queues, not names of teams or people.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db.models import Count, Min, Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from jobs.kinds import all_kinds
from jobs.models import Artifact, Experiment, Queue, Shard, ShardStatus, Status, Worker

REQUESTS = Histogram(
    "canopy_request_seconds",
    "Time to answer a request, by route",
    ["method", "route", "status"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.3, 1, 3, 10),
)


@login_not_required
@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """404 unless the operator set a token and the caller sends it (Authorization: Bearer ...)."""
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not settings.METRICS_TOKEN or not constant_time_compare(given, settings.METRICS_TOKEN):
        raise Http404
    work = CollectorRegistry(auto_describe=False)
    work.register(WorkCollector())
    return HttpResponse(generate_latest(work) + generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)


class WorkCollector(Collector):
    """What the database says, asked anew at each scrape with a fixed number of queries."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield from _experiments()
        yield from _shards()
        yield from _workers()
        size = Artifact.objects.aggregate(total=Sum("size"))["total"] or 0
        yield GaugeMetricFamily("canopy_artifact_bytes", "Size of all artifacts of experiments", value=size)


def _experiments() -> Iterator[GaugeMetricFamily]:
    counted = {
        (row["kind"], row["status"]): row["n"]
        for row in Experiment.objects.values("kind", "status").annotate(n=Count("pk")).order_by()
    }
    # Combinations of which there are none are told as 0: a series that comes and goes cannot be alerted on.
    rows = [
        ([kind.name, status], counted.get((kind.name, status), 0)) for kind in all_kinds() for status in Status.values
    ]
    yield _gauge("canopy_experiments", "Experiments", ["kind", "status"], rows)


def _shards() -> Iterator[GaugeMetricFamily]:
    open_states = (ShardStatus.WAITING, ShardStatus.QUEUED, ShardStatus.RUNNING)
    found = Shard.objects.filter(status__in=open_states).values("queue", "status").annotate(n=Count("pk")).order_by()
    counted = {(row["queue"], row["status"]): row["n"] for row in found}
    rows = [([queue, state], counted.get((queue, state), 0)) for queue in Queue.values for state in open_states]
    yield _gauge("canopy_shards", "Shards of open experiments", ["queue", "status"], rows)
    oldest = dict(
        Shard.objects.filter(status=ShardStatus.QUEUED)
        .values_list("queue")
        .annotate(since=Min("experiment__created_at"))
        .order_by()
    )
    now = timezone.now()
    ages = [([queue], (now - oldest[queue]).total_seconds() if queue in oldest else 0.0) for queue in Queue.values]
    yield _gauge("canopy_oldest_queued_seconds", "Age of the oldest experiment with a queued shard", ["queue"], ages)


def _workers() -> Iterator[GaugeMetricFamily]:
    found = list(Worker.objects.order_by("name"))
    now = timezone.now()
    for name, help_text, busy in (("canopy_workers", "Workers", False), ("canopy_workers_busy", "That work", True)):
        counts = {
            queue: sum(w.queue == queue and (not busy or w.shard_id is not None) for w in found) for queue in Queue
        }
        yield _gauge(name, help_text, ["queue"], [([queue.value], count) for queue, count in counts.items()])
    beats = [([each.name], (now - each.heartbeat_at).total_seconds()) for each in found]
    yield _gauge("canopy_worker_silence_seconds", "Time since the last heartbeat", ["worker"], beats)
    for key, name, help_text in (
        ("memory_used", "canopy_gpu_memory_used_bytes", "GPU memory in use"),
        ("memory_total", "canopy_gpu_memory_bytes", "GPU memory"),
        ("utilisation", "canopy_gpu_utilisation_percent", "Share of the last moments in which the GPU did something"),
        ("temperature", "canopy_gpu_temperature_celsius", "GPU temperature"),
    ):
        rows = [
            ([worker.name, str(index)], gpu[key])
            for worker in found
            for index, gpu in enumerate(worker.processors)
            if gpu.get("is_gpu") and gpu.get(key) is not None
        ]
        yield _gauge(name, help_text, ["worker", "gpu"], rows)


def _gauge(name: str, help_text: str, labels: list[str], rows: Iterable[tuple[list[str], Any]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family
