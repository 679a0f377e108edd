from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Q

from webapp.activity.models import Entry
from webapp.activity.views import csv_lines


class Command(BaseCommand):
    help = "What was done on this installation, as CSV: all of it, that of deleted teams and people too."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--about", default="", help="only entries with this in a team's, person's or target's name")

    def handle(self, *args: Any, **options: Any) -> None:
        about = options["about"]
        named = Q(team_name__icontains=about) | Q(actor_name__icontains=about) | Q(target__icontains=about)
        for line in csv_lines(Entry.objects.filter(named).order_by("-at", "-pk")):
            self.stdout.write(line, ending="")
