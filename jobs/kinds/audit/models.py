"""The problems whose known answers an audit has graded, or will."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from jobs.models import Experiment

OUTCOMES = ("correct", "wrong", "error", "timeout")


class State(models.TextChoices):
    PENDING = "pending", "Not graded yet"
    AUDITED = "audited", "Audited"
    UNKNOWN = "unknown", "No known right answer"


class AuditedProblem(models.Model):
    """A problem as it was when the audit began, and how often its known answers got which verdict.

    ``right_*`` are the verdicts on its right answer, ``wrong_*`` those on all of its known wrong answers together.
    """

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="audited_problems")
    index = models.PositiveIntegerField()
    uid = models.CharField(max_length=100)
    question = models.TextField()
    answer = models.TextField(blank=True)
    checks = models.JSONField(default=dict)
    state = models.CharField(max_length=7, choices=State, default=State.PENDING)
    right_correct = models.PositiveIntegerField(default=0)
    right_wrong = models.PositiveIntegerField(default=0)
    right_error = models.PositiveIntegerField(default=0)
    right_timeout = models.PositiveIntegerField(default=0)
    wrong_answers = models.PositiveIntegerField(default=0)  # that are known
    wrong_correct = models.PositiveIntegerField(default=0)
    wrong_wrong = models.PositiveIntegerField(default=0)
    wrong_error = models.PositiveIntegerField(default=0)
    wrong_timeout = models.PositiveIntegerField(default=0)
    flaky = models.BooleanField(default=False)  # one answer got different verdicts
    reason = models.CharField(max_length=300, blank=True)  # which answer got the first unexpected verdict, and why
    seconds = models.FloatField(default=0.0)  # that all its verdicts took
    seq = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "index"], name="one_audit_per_index")]
        indexes = [
            models.Index(fields=["experiment", "seq"], name="changed_audits"),
            models.Index(fields=["experiment", "index"], condition=Q(state="pending"), name="open_audits"),
        ]

    def __str__(self) -> str:
        return self.uid

    @property
    def flags(self) -> list[str]:
        """What is wrong with the verifier here, the worst first; as engine.verification.audit names it."""
        found = {
            "flaky": self.flaky,
            "false negative": self.right_wrong > 0,
            "false positive": self.wrong_correct > 0,
            "undecided": self.right_error + self.right_timeout + self.wrong_error + self.wrong_timeout > 0,
        }
        return [name for name, holds in found.items() if holds]
