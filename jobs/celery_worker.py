"""The command line of a worker, in one place: the launcher, ``manage.py worker`` and the pages' advice agree."""

from __future__ import annotations

import sys


def worker_command(queue: str, name: str, log_level: str = "WARNING") -> list[str]:
    """A Celery worker of ``queue`` that does one shard at a time; ``name`` must be unique on its host.

    One pool thread: the work happens in a child process, and the worker stays responsive meanwhile. Without gossip,
    mingle and heartbeat: the database tells who is there.
    """
    return [
        *(sys.executable, "-m", "celery", "-A", "jobs.celery", "worker", "-Q", queue, "-n", f"{name}@%h"),
        *("-P", "threads", "-c", "1", "--loglevel", log_level),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    ]
