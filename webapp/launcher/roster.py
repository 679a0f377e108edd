"""Which processes make up a one-machine installation, and the command line of each."""

from __future__ import annotations

import sys
from pathlib import Path

from django.conf import settings

from jobs.celery_worker import worker_command
from jobs.devices import visible_gpus
from jobs.models import Queue
from webapp.launcher import valkey
from webapp.launcher.processes import Child


def broker(logs: Path) -> Child:
    return Child(
        "broker",
        [],
        logs / "broker.log",
        starter=lambda log: valkey.start(settings.DATA_DIR / "broker", log),
        # A new launcher may come while the last one's server still says goodbye.
        before=valkey.wait_until_gone,
    )


def web(logs: Path, host: str, port: int) -> Child:
    command = [
        *(sys.executable, "-m", "uvicorn", "webapp.asgi:application"),
        *("--host", host, "--port", str(port)),
        *("--lifespan", "off", "--no-access-log", "--log-level", "warning"),
        # Open live pages would otherwise hold up the end for ever.
        *("--timeout-graceful-shutdown", "2"),
    ]
    return Child("web", command, logs / "web.log")


def worker(logs: Path, name: str, queue: str, gpu: int | None = None) -> Child:
    """A Celery worker that does one shard at a time; ``gpu`` limits it to that device."""
    command = worker_command(queue, name)
    return Child(name, command, logs / f"{name}.log", {} if gpu is None else {"CUDA_VISIBLE_DEVICES": str(gpu)})


def workers(logs: Path) -> list[Child]:
    """One GPU worker per device, or one on the CPU where there is none; and one for work that needs no GPU."""
    count = len(visible_gpus())
    gpu = [worker(logs, f"gpu{i}", Queue.GPU, gpu=i) for i in range(count)] if count > 1 else []
    return [*(gpu or [worker(logs, "gpu", Queue.GPU)]), worker(logs, "cpu", Queue.CPU)]


def reconciler(logs: Path) -> Child:
    return Child("reconciler", [sys.executable, "manage.py", "reconcile"], logs / "reconciler.log")
