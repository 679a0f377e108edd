"""A task's data as a team's problem set: manage.py import_problems gsm8k --file test.jsonl --team "Marsh lab" ..."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from engine.problems import ProblemFormatError
from engine.tasks import TASKS, HubError, problems_of_file, problems_of_hub
from jobs.kinds.base import SpecError
from jobs.kinds.sampling.problem_sets import save_problem_set
from webapp.management.members import find_member


class Command(BaseCommand):
    help = "Turn a data set of a task into a problem set of a team, from its own files or from the Hugging Face hub."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("task", choices=list(TASKS))
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("--file", type=Path, help="JSONL or a JSON array, packed with gzip or not")
        source.add_argument("--hub", action="store_true", help="the hub's data set; needs the package datasets")
        parser.add_argument("--team", required=True, help="the team's name or code")
        parser.add_argument("--owner", required=True, help="e-mail address of a member who may write")
        parser.add_argument("--name", default="", help="of the set; default: the task's title")
        parser.add_argument("--limit", type=int, help="keep only the first so many problems")

    def handle(self, *args: Any, **options: Any) -> None:
        member = find_member(options["team"], options["owner"])
        task = TASKS[options["task"]]
        try:
            if options["hub"]:
                problems = problems_of_hub(task, options["limit"])
            else:
                problems = problems_of_file(task, options["file"].read_bytes(), options["limit"])
            made = save_problem_set(
                team=member.team, by=member.user, name=options["name"] or task.title, problems=problems
            )
        except OSError as error:
            raise CommandError(f"{options['file']} cannot be read: {error.strerror}.") from None
        except (HubError, ProblemFormatError, SpecError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{made.name}: {made.count:,} problems are ready to choose (set/{made.code}).")
