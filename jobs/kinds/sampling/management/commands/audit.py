from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from engine.problems import ProblemFormatError, parse_bytes
from engine.sandbox.types import SandboxError
from engine.verification import VERIFIERS
from engine.verification.audit import ProblemAudit, Summary, audit, summarise
from jobs.kinds.sampling.audit import audit_experiment, record, sentence
from jobs.kinds.sampling.jobs import verifier_settings
from jobs.kinds.sampling.spec import SamplingSpec
from jobs.models import Experiment


class Command(BaseCommand):
    help = (
        "Audit a verifier: grade the known right and wrong answers of a problem file, or of an experiment's "
        "problems, several times, and list what it gets wrong. For an experiment the result is kept as audit.csv."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", help="an experiment's code, or a problem file in JSONL")
        parser.add_argument("--verifier", default="", choices=["", *VERIFIERS], help="default: the experiment's own")
        parser.add_argument("--repeats", type=int, default=3, help="how often each answer is graded (3)")
        parser.add_argument("--seconds", type=float, default=10.0, help="time limit for a file's tests (10)")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["repeats"] < 1:
            raise CommandError("--repeats must be at least 1.")
        try:
            if Path(options["what"]).is_file():
                verifier = options["verifier"] or "code-stdio"
                summary, found = self._file(Path(options["what"]), verifier, options["repeats"], options["seconds"])
            else:
                experiment = _experiment(options["what"])
                verifier = options["verifier"] or experiment.spec["verifier"]
                summary, found = audit_experiment(experiment, verifier, options["repeats"])
                record(experiment, verifier, options["repeats"], summary, found)
        except (SandboxError, ProblemFormatError) as error:
            raise CommandError(str(error)) from None
        for each in found:
            if each.flags:
                self.stdout.write(f"{each.uid}: {', '.join(each.flags)}. {each.reason}")
        self.stdout.write(sentence(verifier, options["repeats"], summary))

    def _file(self, file: Path, verifier: str, repeats: int, seconds: float) -> tuple[Summary, list[ProblemAudit]]:
        problems = parse_bytes(file.read_bytes())
        settings = verifier_settings(SamplingSpec(grade_seconds=seconds))
        found = list(audit(verifier, problems, settings, repeats))
        return summarise(len(problems), found), found


def _experiment(code: str) -> Experiment:
    try:
        found = Experiment.objects.filter(code=code, kind="sampling").first()
    except ValidationError:
        found = None
    if found is None:
        raise CommandError(f"{code} is neither a file nor the code of a sampling experiment.")
    return found
