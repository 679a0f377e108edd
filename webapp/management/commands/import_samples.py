"""Results made elsewhere as an experiment: manage.py import_samples results.csv --team "Marsh lab" --owner a@b.org"""

from __future__ import annotations

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.files import File
from django.core.management.base import BaseCommand, CommandError

from engine.exchange import AUTO, FORMATS, ExchangeError
from jobs.kinds.sampling.imports import submit_import
from jobs.models import Status
from jobs.services import Refused
from webapp.management.members import find_member

_LOOK_SECONDS = 0.5


class Command(BaseCommand):
    help = "Import results made elsewhere as a finished sampling experiment. A CPU worker reads the file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--team", required=True, help="the team's name or code")
        parser.add_argument("--owner", required=True, help="e-mail address of a member who may write")
        parser.add_argument("--name", default="", help="of the experiment; default: the file's name")
        parser.add_argument("--model", default="", help="the model that made the samples")
        parser.add_argument("--format", default=AUTO, choices=[AUTO, *FORMATS])
        parser.add_argument("--score", default="", help="which metric, scorer or test set decides; default: the first")
        parser.add_argument("--filter", default="", help="which filter of lm-eval; default: the first")
        parser.add_argument("--wait", action="store_true", help="until the import has ended")

    def handle(self, *args: Any, **options: Any) -> None:
        member = find_member(options["team"], options["owner"])
        path: Path = options["file"]
        try:
            with path.open("rb") as file:
                experiment = submit_import(
                    team=member.team,
                    owner=member.user,
                    file=File(file),
                    file_name=path.name,
                    **{key: options[key] for key in ("name", "model", "format", "score", "filter")},
                )
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from None
        except (ExchangeError, Refused, ValueError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{experiment.name}: /experiments/{experiment.code}/")
        while options["wait"] and not experiment.has_ended:
            time.sleep(_LOOK_SECONDS)
            experiment.refresh_from_db()
        if experiment.status in (Status.FAILED, Status.CANCELLED):
            raise CommandError(experiment.reason)
