from __future__ import annotations

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from jobs import usage
from jobs.models import Quota
from webapp.accounts.models import Team

_LEAST = {"gpu_hours": 0.0, "shards": 1, "storage_gib": 0.0}


class Command(BaseCommand):
    help = "Show or set what a team may use. A limit of 'none' takes it away; what is not named stays."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("team", help="its name or code")
        parser.add_argument("--gpu-hours", help="of GPU workers in a calendar month")
        parser.add_argument("--shards", help="that run at once")
        parser.add_argument("--storage-gib", help="of files that its experiments keep")

    def handle(self, *args: Any, **options: Any) -> None:
        team = self._team(options["team"])
        quota = Quota.objects.filter(team=team).first() or Quota(team=team)
        if options["gpu_hours"] is not None:
            quota.gpu_hours = _limit("gpu_hours", options["gpu_hours"])
        if options["shards"] is not None:
            shards = _limit("shards", options["shards"])
            quota.shards = None if shards is None else int(shards)
        if options["storage_gib"] is not None:
            gib = _limit("storage_gib", options["storage_gib"])
            quota.storage = None if gib is None else int(gib * 2**30)
        if (quota.gpu_hours, quota.shards, quota.storage) == (None, None, None):
            Quota.objects.filter(team=team).delete()
        else:
            quota.save()
        for use in usage.uses(team.pk).values():
            limit = "no limit" if use.limit is None else f"of {use.limit:,.6g}"
            self.stdout.write(f"{use.name}: {use.used:,.6g}, {limit}")

    def _team(self, name: str) -> Team:
        try:
            found = list(Team.objects.filter(code=UUID(name)))
        except ValueError:
            found = list(Team.objects.filter(name=name))
        if len(found) != 1:
            raise CommandError(f"{len(found) or 'No'} teams are called {name}: give the code from the page's address.")
        return found[0]


def _limit(name: str, text: str) -> float | None:
    if text == "none":
        return None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not _LEAST[name] <= number < 1e15:
        raise CommandError(f"--{name.replace('_', '-')} must be a number of at least {_LEAST[name]:g}, or none.")
    return number
