"""How long an import of many samples takes, and what its page costs: python -m benchmarks.import_scale [P N]

Writes a CSV of P problems x N samples (200 x 10,000), imports it as the browser does, and lets one CPU worker do the
experiment's shards: a supervisor in this process and its runner, as in a real worker, on SQLite. Then asks for the
experiment's live state and its pages as a member does.
"""

from __future__ import annotations

import os
import random
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROBLEMS, SAMPLES = (int(sys.argv[1]), int(sys.argv[2])) if len(sys.argv) > 2 else (200, 10_000)
REQUESTS = 40
GOAL_IMPORT_S, GOAL_MEMORY_GIB, GOAL_PAGE_MS = 60, 2, 200


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="canopy-bench-", dir="/tmp") as folder:
        os.environ |= {
            "CANOPY_DATA": f"{folder}/data",
            "DATABASE_URL": f"sqlite://{folder}/bench.db",
            "DJANGO_SETTINGS_MODULE": "webapp.settings",
            "CANOPY_HOSTS": "testserver",
            "CANOPY_LOG_LEVEL": "ERROR",
        }
        import django

        django.setup()
        from django.core.management import call_command

        from webapp.launcher import roster, valkey

        call_command("migrate", verbosity=0)
        broker = roster.broker(Path(folder))
        broker.start()
        assert broker.process is not None
        valkey.wait_until_ready(broker.process)
        try:
            path = _write_csv(Path(folder) / "results.csv")
            experiment, seconds = _import(path)
            pages = _ask(experiment)
        finally:
            broker.stop(5)
        _report(path.stat().st_size, Path(folder, "bench.db").stat().st_size, seconds, pages)


def _write_csv(path: Path) -> Path:
    """Problems from hopeless to easy; about 60 answers each, lengths and log-probabilities as a model's."""
    draw = random.Random(0)
    with path.open("w") as file:
        file.write("problem,sample,correct,answer,tokens,logprob\n")
        for problem in range(PROBLEMS):
            chance = draw.betavariate(0.35, 0.65)
            for sample in range(SAMPLES):
                correct = draw.random() < chance
                answer = problem if correct else draw.randrange(60)
                length = draw.randrange(30, 300)
                file.write(f"p{problem},{sample},{int(correct)},{answer},{length},{-length * draw.random():.3f}\n")
    return path


def _import(path: Path) -> tuple[Any, dict[str, float]]:
    """The experiment, and the seconds of each part; fails when a sample is missing at the end."""
    from django.core.files import File

    from jobs.kinds.sampling.imports import submit_import
    from jobs.kinds.sampling.models import Sample
    from jobs.models import Status
    from jobs.worker import ThisWorker
    from webapp.accounts.memberships import create_team
    from webapp.accounts.models import User

    user = User.objects.create_user("bench@example.org", "Bench", "coverage grows with k")
    team = create_team("Bench", user)
    begin = time.perf_counter()
    with path.open("rb") as file:
        experiment = submit_import(team=team, owner=user, file=File(file), file_name=path.name)
    taken = {"upload": time.perf_counter() - begin}
    worker = ThisWorker("cpu@bench", "cpu")
    for stage in ("import", "export"):
        begin = time.perf_counter()
        assert worker.work("cpu")
        taken[stage] = time.perf_counter() - begin
    worker._runner.kill()
    experiment.refresh_from_db()
    assert experiment.status == Status.FINISHED, experiment.reason
    assert Sample.objects.filter(experiment=experiment).count() == PROBLEMS * SAMPLES
    return experiment, taken


def _ask(experiment: Any) -> dict[str, list[float]]:
    """Milliseconds of each request."""
    from django.conf import settings
    from django.test import Client
    from django.urls import reverse

    from webapp.accounts.models import User

    settings.STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    client = Client()
    client.force_login(User.objects.get())
    addresses = {
        "experiment page": reverse("experiment", args=[experiment.code]),
        "live state": reverse("experiment-live", args=[experiment.code]),
        "sample browser": reverse("experiment-tab", args=[experiment.code, "samples"]),
    }
    taken: dict[str, list[float]] = {}
    for title, address in addresses.items():
        client.get(address)
        for _ in range(REQUESTS):
            begin = time.perf_counter()
            assert client.get(address).status_code == 200
            taken.setdefault(title, []).append((time.perf_counter() - begin) * 1000)
    return taken


def _report(csv_bytes: int, db_bytes: int, seconds: dict[str, float], pages: dict[str, list[float]]) -> None:
    from benchmarks._report import Row, write_report

    samples = PROBLEMS * SAMPLES
    case = f"{PROBLEMS:,} problems x {SAMPLES:,} samples"
    arrived = seconds["upload"] + seconds["import"]
    # Of the largest of each: this process with the supervisor, and its largest child, the runner.
    memory = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 2**20
    rows = [
        Row(case, "upload to every sample in the database", "s", arrived, goal=f"< {GOAL_IMPORT_S}"),
        Row(case, "samples a second", "1/s", samples / arrived),
        Row(case, "writing samples.parquet and the tables afterwards", "s", seconds["export"]),
        Row(case, "peak memory, supervisor and runner", "GiB", memory, goal=f"< {GOAL_MEMORY_GIB}"),
    ]
    for title, times in pages.items():
        late = statistics.quantiles(times, n=20)[-1]
        rows.append(Row(title, "median request", "ms", statistics.median(times)))
        rows.append(Row(title, "95th percentile", "ms", late, goal=f"< {GOAL_PAGE_MS}"))
    notes = (
        f"A CSV of {csv_bytes / 2**20:,.0f} MiB into an SQLite database of {db_bytes / 2**20:,.0f} MiB; one CPU worker "
        f"(supervisor and runner process) without others. Pages: {REQUESTS} whole requests each through Django's test "
        "client after one to warm up."
    )
    write_report("import-scale", "Import of results made elsewhere", rows, packages=["django", "pydantic"], notes=notes)


if __name__ == "__main__":
    main()
