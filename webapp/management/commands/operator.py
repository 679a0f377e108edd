from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from webapp.accounts.models import User


class Command(BaseCommand):
    help = "Make somebody an operator, who may drain workers; or, with --remove, no longer."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--remove", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        changed = User.objects.filter(email=options["email"].lower()).update(is_operator=not options["remove"])
        if not changed:
            raise CommandError(f"Nobody has the address {options['email']}.")
        self.stdout.write(f"{options['email']} is {'no longer ' if options['remove'] else ''}an operator.")
