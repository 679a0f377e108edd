from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from webapp.operations.backup import BackupError, write_backup


class Command(BaseCommand):
    help = "Write everything that Canopy keeps, as of now, into one tar file. Work and pages go on meanwhile."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="the backup to write, such as canopy-2026-11-25.tar")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            write_backup(options["file"], self.stdout.write)
        except (BackupError, OSError) as error:
            raise CommandError(str(error)) from error
