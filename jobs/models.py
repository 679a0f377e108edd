"""What was asked (Experiment), the parts workers claim (Shard), and what they report (LogLine, MetricSpan, ...).

The database is the truth and the broker a doorbell. Every row a live page shows carries ``seq``: the value of its
experiment's ``last_seq`` when the row last changed. "What changed after seq N" is therefore one indexed query per
table, with absolute values, and no history of events has to be kept.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

if TYPE_CHECKING:
    from jobs.kinds.base import Kind


class Status(models.TextChoices):
    """States of an experiment."""

    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    FINISHED = "finished", "Finished"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


ENDED = (Status.FINISHED, Status.FAILED, Status.CANCELLED)


class ShardStatus(models.TextChoices):
    """States of a shard. ``waiting``: an earlier stage is not done; ``queued``: any worker may claim it."""

    WAITING = "waiting", "Waiting"
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


class Priority(models.IntegerChoices):
    LOW = 0, "Low"
    NORMAL = 5, "Normal"
    HIGH = 9, "High"


class Queue(models.TextChoices):
    """Which workers may claim a shard."""

    GPU = "gpu", "GPU"  # one at a time per accelerator; on a laptop the CPU stands in
    CPU = "cpu", "CPU"


class Experiment(models.Model):
    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, related_name="experiments")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="experiments"
    )
    kind = models.CharField(max_length=20)
    name = models.CharField(max_length=120)
    spec = models.JSONField(encoder=DjangoJSONEncoder)
    # The plan's stages in order: [{"name", "queue", "unit"}]; the shards hold the rest.
    stages = models.JSONField(default=list)
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    priority = models.IntegerField(choices=Priority, default=Priority.NORMAL)
    # Within a team and a priority: lower goes first, then the older one. Owners change it on the queue page.
    place = models.IntegerField(default=0, db_default=0)
    reason = models.TextField(blank=True)  # why it failed or was cancelled, in words
    last_seq = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    # What lists and dashboards show ({"label": "Coverage at 64", "value": 0.74, ...}); written by Kind.summary.
    summary = models.JSONField(default=dict, encoder=DjangoJSONEncoder)

    objects: ClassVar[models.Manager[Experiment]] = models.Manager()

    class Meta:
        indexes = [
            models.Index(fields=["team", "-created_at"], name="experiments_of_a_team"),
            models.Index(fields=["status"], condition=Q(status__in=["queued", "running"]), name="open_experiments"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def kind_object(self) -> Kind:
        from jobs.kinds import get_kind

        return get_kind(self.kind)

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    @property
    def colour_slot(self) -> int:
        """1 to 7: the chart colour this experiment keeps on every page."""
        return self.pk % 7 + 1


class Shard(models.Model):
    """The part of an experiment that one worker leases. Only jobs.leases changes its status."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="shards")
    stage = models.CharField(max_length=20)
    stage_index = models.PositiveSmallIntegerField()
    index = models.PositiveIntegerField()  # within the stage
    queue = models.CharField(max_length=3, choices=Queue)
    payload = models.JSONField(default=dict)  # what to do; made by Kind.plan, read by Kind.prepare
    # True: starts when the shard of the same index in the stage before is done. False: when that whole stage is.
    pairwise = models.BooleanField(default=False)
    # True: done beside the experiment, usually after its end, and does not count for its state.
    aside = models.BooleanField(default=False)
    # True: also starts when some of the earlier stages failed for good, with what the others made.
    regardless = models.BooleanField(default=False, db_default=False)
    status = models.CharField(max_length=9, choices=ShardStatus, default=ShardStatus.QUEUED)
    done = models.PositiveIntegerField(default=0)  # units (samples, epochs, ...) finished
    total = models.PositiveIntegerField(default=1)
    resumed_from = models.PositiveIntegerField(default=0)  # ``done`` when the current attempt began
    attempt = models.PositiveSmallIntegerField(default=0)
    # Raised by every claim and never lowered: what a worker wrote under an older claim is refused.
    claim = models.PositiveIntegerField(default=0)
    worker = models.CharField(max_length=100, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True)  # of the last attempt's end, in words
    log_tail = models.TextField(blank=True)  # last output of the runner when an attempt failed
    seq = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["experiment", "stage", "index"], name="one_shard_per_stage_and_index")
        ]
        indexes = [
            models.Index(fields=["queue", "experiment"], condition=Q(status="queued"), name="queued_shards"),
            models.Index(fields=["lease_until"], condition=Q(status="running"), name="leased_shards"),
            models.Index(fields=["experiment", "seq"], name="changed_shards"),
        ]

    def __str__(self) -> str:
        return f"{self.stage} {self.index}"


class Worker(models.Model):
    """A worker process that has reported itself. A hung worker still answers TCP, so liveness is this row's age."""

    name = models.CharField(max_length=100, unique=True)
    queue = models.CharField(max_length=3, choices=Queue)
    host = models.CharField(max_length=100)
    device = models.CharField(max_length=100)  # "NVIDIA H200" or "CPU, 2 cores"
    # What each of its processors said at the last heartbeat: [jobs.devices.Processor as a dict, ...].
    processors = models.JSONField(default=list)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField(default=timezone.now)
    heartbeat_at = models.DateTimeField(default=timezone.now)
    shard = models.ForeignKey(Shard, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    # True: finishes what it does and takes nothing new, until it is told otherwise or starts again.
    draining = models.BooleanField(default=False, db_default=False)

    def __str__(self) -> str:
        return self.name


class Quota(models.Model):
    """What a team may use. Empty: as much as there is. Only the operator sets it (manage.py quota)."""

    team = models.OneToOneField("accounts.Team", on_delete=models.CASCADE, related_name="quota")
    gpu_hours = models.FloatField(null=True, blank=True)  # a calendar month, over all GPU workers
    shards = models.PositiveIntegerField(null=True, blank=True)  # that run at once, on both queues together
    storage = models.PositiveBigIntegerField(null=True, blank=True)  # bytes of artifacts

    def __str__(self) -> str:
        return f"quota of {self.team}"


class WorkerTime(models.Model):
    """How long workers worked for a team on one day. Only jobs.usage writes it; it outlives the experiments."""

    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, related_name="worker_time")
    day = models.DateField()  # on which the attempts ended, in UTC
    queue = models.CharField(max_length=3, choices=Queue)
    seconds = models.FloatField(default=0)
    attempts = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "day", "queue"], name="one_time_per_day_and_queue")]

    def __str__(self) -> str:
        return f"{self.seconds:.0f} s on {self.day}"


class LogLine(models.Model):
    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="log_lines")
    shard = models.ForeignKey(Shard, on_delete=models.CASCADE, null=True, related_name="+")
    seq = models.PositiveBigIntegerField()
    at = models.DateTimeField(default=timezone.now)
    level = models.CharField(max_length=7, default="info")  # info, warning, error
    text = models.TextField()

    class Meta:
        indexes = [models.Index(fields=["experiment", "seq"], name="log_by_seq")]

    def __str__(self) -> str:
        return self.text


class MetricSpan(models.Model):
    """What the workers of an experiment measured in one stretch of time, such as tokens per second.

    Only jobs.metrics writes it. Everything in it is a sum over time, so workers' reports, and neighbouring spans, are
    merged by adding. Times are seconds since 1970.
    """

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="metric_spans")
    seq = models.PositiveBigIntegerField()
    start = models.PositiveBigIntegerField()  # a multiple of width
    width = models.PositiveIntegerField()  # seconds; the same in all spans of an experiment
    since = models.FloatField()  # the part of the span that reports tell about
    until = models.FloatField()
    totals = models.JSONField(default=dict)  # {name: [integral of the value over time, worker-seconds]}

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "start"], name="one_span_per_start")]
        indexes = [models.Index(fields=["experiment", "seq"], name="changed_spans")]

    def __str__(self) -> str:
        return f"{self.width} s from {self.start}"


def artifact_path(artifact: Artifact, filename: str) -> str:
    return f"{artifact.experiment.code}/{uuid.uuid4().hex}-{filename}"


class Artifact(models.Model):
    """A file an experiment made, in Django's default storage."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="artifacts")
    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=120)
    content_type = models.CharField(max_length=80)
    size = models.PositiveBigIntegerField()
    file = models.FileField(upload_to=artifact_path, max_length=255)
    created_at = models.DateTimeField(default=timezone.now)
    seq = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "name"], name="one_artifact_per_name")]

    def __str__(self) -> str:
        return self.name


def next_seq(experiment_id: int) -> int:
    """Raise the experiment's sequence number and return it. Call inside the transaction that stamps rows with it:
    the update locks the experiment's row, so numbers become visible in order."""
    Experiment.objects.filter(pk=experiment_id).update(last_seq=F("last_seq") + 1)
    return Experiment.objects.values_list("last_seq", flat=True).get(pk=experiment_id)
