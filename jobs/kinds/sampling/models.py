"""Problems, samples and problem sets of sampling experiments.

The unique key (experiment, problem, index) of a sample gives exact resume, "draw more" and re-grading: doing a shard
twice inserts nothing twice. The live curve is drawn from the counters (n, c) of each problem, never from samples.
"""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from jobs.models import Experiment


class ProblemSet(models.Model):
    """A team's uploaded problems, in the JSONL format of docs/problem-format.md."""

    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, related_name="problem_sets")
    name = models.CharField(max_length=80)
    problems = models.JSONField()  # list of engine.problems.Problem as dicts
    count = models.PositiveIntegerField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="one_problem_set_per_name")]

    def __str__(self) -> str:
        return self.name


class Problem(models.Model):
    """A problem as it was when the experiment started, with its counters.

    The counters change in the same transaction as the samples they count, under the experiment's row lock. ``seq`` is
    stamped when the graded ones change; the drawn ones change more often and are shown as totals only.
    """

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="problems")
    index = models.PositiveIntegerField()
    uid = models.CharField(max_length=100)
    question = models.TextField()
    answer = models.TextField(blank=True)
    checks = models.JSONField(default=dict)  # what verifiers need besides the answer: see engine.problem_checks
    n = models.PositiveIntegerField(default=0)  # graded samples: correct, wrong, error or timeout
    c = models.PositiveIntegerField(default=0)  # correct ones
    errors = models.PositiveIntegerField(default=0)  # verdicts "error" and "timeout", part of n
    timeouts = models.PositiveIntegerField(default=0)  # verdict "timeout", part of errors
    # Of n and c, the samples beyond the Spec's ``samples``: extra draws, put where they help by looking at the results.
    # Without them a problem's n does not depend on its c, and estimates of coverage are unbiased.
    extra_n = models.PositiveIntegerField(default=0)
    extra_c = models.PositiveIntegerField(default=0)
    # Lowest index of a correct sample, kept where drawing stops at it (stop_when_solved). It only ever goes down.
    first_correct = models.PositiveIntegerField(null=True, blank=True)
    drawn = models.PositiveIntegerField(default=0)  # samples there are, graded or not
    tokens = models.PositiveBigIntegerField(default=0)  # of all samples drawn
    # What an endpoint counted for the prompts of all its calls; 0 for models of our own, whose prompts are shared.
    prompt_tokens = models.PositiveBigIntegerField(default=0)
    seq = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "index"], name="one_problem_per_index")]
        indexes = [models.Index(fields=["experiment", "seq"], name="changed_problems")]

    def __str__(self) -> str:
        return self.uid


class Verdict(models.TextChoices):
    PENDING = "pending", "Not graded yet"
    CORRECT = "correct", "Correct"
    WRONG = "wrong", "Wrong"
    ERROR = "error", "Grader error"
    TIMEOUT = "timeout", "Grader timeout"


class Sample(models.Model):
    """One answer. Hot columns only; the text is in SampleText so that counting and filtering stay fast."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="samples")
    problem = models.ForeignKey(Problem, on_delete=models.CASCADE, related_name="samples")
    index = models.PositiveIntegerField()
    # None: not known. Imported results and hosted models do not tell everything.
    seed = models.BigIntegerField(null=True, blank=True)
    tokens = models.PositiveIntegerField(null=True, blank=True)
    # sum over the answer's tokens at temperature 1, before any filter
    logprob = models.FloatField(null=True, blank=True)
    # mean over the answer's tokens of KL(uniform || the model's distribution), as raw; higher is surer
    self_certainty = models.FloatField(null=True, blank=True)
    score = models.FloatField(null=True, blank=True)  # that an imported file gave it; a Scorer's are Scores
    finish = models.CharField(max_length=10, blank=True)
    verdict = models.CharField(max_length=7, choices=Verdict, default=Verdict.PENDING)
    answer = models.CharField(max_length=200, blank=True)  # as extracted from the text
    canonical = models.CharField(max_length=200, blank=True)  # equal answers share it
    reason = models.CharField(max_length=200, blank=True)
    grade_seconds = models.FloatField(null=True, blank=True)
    level = models.CharField(max_length=10, blank=True)  # of the sandbox that ran it; empty when nothing was run
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[models.Manager[Sample]] = models.Manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "problem", "index"], name="one_sample_per_index")]
        indexes = [
            models.Index(fields=["experiment", "verdict", "id"], name="samples_by_verdict"),
            models.Index(fields=["experiment", "id"], name="samples_in_order"),
            models.Index(fields=["problem", "index"], condition=Q(verdict="pending"), name="ungraded_samples"),
        ]

    def __str__(self) -> str:
        return f"problem {self.problem_id}, sample {self.index}"


class Scorer(models.Model):
    """A reward model that has scored samples of an experiment."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="scorers")
    name = models.CharField(max_length=320)  # see SamplingSpec.scorer_name
    scored = models.PositiveIntegerField(default=0)  # its Scores; raised in the transaction that adds them

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "name"], name="one_scorer_per_name")]

    def __str__(self) -> str:
        return self.name


class Score(models.Model):
    """What a scorer gives a sample; higher is better."""

    scorer = models.ForeignKey(Scorer, on_delete=models.CASCADE, related_name="scores")
    sample = models.ForeignKey(Sample, on_delete=models.CASCADE, related_name="scores")
    value = models.FloatField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["scorer", "sample"], name="one_score_per_scorer")]

    def __str__(self) -> str:
        return f"{self.value:.3f}"


class SampleText(models.Model):
    sample = models.OneToOneField(Sample, on_delete=models.CASCADE, primary_key=True, related_name="body")
    text = models.TextField()

    def __str__(self) -> str:
        return self.text[:80]
