"""Audits an experiment's verifier and keeps what it found: audit.csv among the files, a line in the log."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils import timezone

from engine.problems import Problem as ProblemText
from engine.verification.audit import ProblemAudit, Summary, audit, summarise
from jobs import live, logbook
from jobs.kinds.sampling.jobs import verifier_settings
from jobs.kinds.sampling.models import Problem
from jobs.kinds.sampling.spec import SamplingSpec
from jobs.models import Artifact, Experiment, artifact_path, next_seq

FILE = "audit.csv"
COLUMNS = ("problem", "right_correct", "right_wrong", "right_error", "right_timeout", "flags", "reason")


def audit_experiment(experiment: Experiment, verifier: str, repeats: int) -> tuple[Summary, list[ProblemAudit]]:
    """Grade the known answers of the experiment's problems on this machine. Raises Refused like any grading."""
    spec = SamplingSpec.model_validate({**experiment.spec, "verifier": verifier})
    rows = Problem.objects.filter(experiment=experiment).order_by("index")
    problems = [ProblemText(row.uid, row.question, row.answer, row.checks) for row in rows]
    found = list(audit(verifier, problems, verifier_settings(spec), repeats))
    return summarise(len(problems), found), found


def sentence(verifier: str, repeats: int, summary: Summary) -> str:
    """The outcome in a line, for people."""
    return (
        f"Audit of {verifier}: of {summary.problems:,} problems {summary.audited:,} have a known answer, each graded "
        f"{repeats} times; {summary.false_negatives:,} reject a right answer, {summary.false_positives:,} accept a "
        f"wrong one, {summary.flaky:,} are flaky, {summary.undecided:,} ended in an error or a timeout."
    )


@transaction.atomic
def record(
    experiment: Experiment, verifier: str, repeats: int, summary: Summary, found: Sequence[ProblemAudit]
) -> None:
    """Replace the experiment's audit.csv and say in its log what came out."""
    content = as_csv(found).encode()
    seq = next_seq(experiment.pk)
    artifact = Artifact.objects.filter(experiment=experiment, name=FILE).first()
    if artifact is None:
        artifact = Artifact(experiment=experiment, name=FILE)
    else:
        old = str(artifact.file.name)
        transaction.on_commit(lambda: default_storage.delete(old), robust=True)
    artifact.file.name = default_storage.save(artifact_path(artifact, FILE), ContentFile(content))
    artifact.size, artifact.content_type = len(content), "text/csv"
    artifact.created_at, artifact.seq = timezone.now(), seq
    artifact.save()
    level = "warning" if summary.false_negatives or summary.false_positives or summary.flaky else "info"
    logbook.write(experiment.pk, seq, [logbook.Line(sentence(verifier, repeats, summary), level)])
    live.announce_on_commit(experiment.pk)


def as_csv(found: Sequence[ProblemAudit]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for each in found:
        outcomes = [verdict.outcome for verdict in each.right]
        counts = [outcomes.count(outcome) for outcome in ("correct", "wrong", "error", "timeout")]
        writer.writerow([each.uid, *counts, "; ".join(each.flags), each.reason])
    return text.getvalue()
