from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from jobs.celery_worker import worker_command
from jobs.models import Queue


class Command(BaseCommand):
    help = "Start one worker, until SIGTERM: it gives the shard it runs back and ends within seconds."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("queue", choices=Queue.values, help="gpu: draws samples; cpu: grades them")
        parser.add_argument(
            "--name", default="", help="unique on this host; default: the queue, and the GPU it may use"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        command = worker_command(options["queue"], options["name"] or default_name(options["queue"]), "INFO")
        os.execv(command[0], command)  # Celery gets this process, so a signal reaches it


def default_name(queue: str) -> str:
    """gpu0 for the worker that may use GPU 0, so that one worker for each GPU of a host needs no names."""
    devices = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    index = devices[0] if queue == Queue.GPU and len(devices) == 1 and devices[0].isdigit() else ""
    return f"{queue}{index}"
