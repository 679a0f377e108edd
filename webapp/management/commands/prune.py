from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from jobs.retention import prune


class Command(BaseCommand):
    help = (
        "Remove what is older than CANOPY_KEEP_EXPERIMENT_DAYS and CANOPY_KEEP_LOG_DAYS, as the reconciler does daily."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what would go and remove nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        removed = prune(only_count=options["dry_run"])
        would = "would be" if options["dry_run"] else "are"
        self.stdout.write(f"{removed.experiments:,} experiments and {removed.log_lines:,} log lines {would} removed.")
