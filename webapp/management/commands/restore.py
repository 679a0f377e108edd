from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from webapp.operations.backup import BackupError, restore_backup


class Command(BaseCommand):
    help = (
        "Bring a backup into an empty, migrated database and this installation's storage. The database may be of "
        "another make than the one the backup is of. Start web and workers afterwards."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="written by manage.py backup")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            restore_backup(options["file"], self.stdout.write)
        except BackupError as error:
            raise CommandError(str(error)) from error
        self.stdout.write("Restored. Unfinished experiments go on when workers start.")
