"""The one Celery task: a ring at the door."""

from __future__ import annotations

from jobs import worker
from jobs.celery import app


@app.task(name="jobs.tasks.work", ignore_result=True, acks_late=True)  # type: ignore[untyped-decorator]
def work(queue: str) -> None:
    """Do one queued shard of ``queue``, if there is one. A ring that comes twice, or too late, finds nothing to do."""
    if worker.this_worker is not None:
        worker.this_worker.work(queue)
