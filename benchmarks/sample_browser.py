"""How long the sample browser's pages take with a million samples: python -m benchmarks.sample_browser [samples]

Makes an SQLite database with 100 problems and a million samples of two experiments in turn, signs a member in and
asks for each page 15 times: whole requests through every middleware, template included, in one process.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

PROBLEMS = 100
SAMPLES = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
RUNS = 15
GOAL_MS = 100
CHUNK = 20_000
TEXT = "First we read the problem again. " * 10  # about the length of a short answer

PAGES = {
    "first visit": "",
    "a problem": "?problem=70",
    "a sample in the middle": "?problem=70&at=70.5000",
    "rarely solved problems first": "?order=rare",
    "wrong samples": "?verdict=wrong",
    "wrong samples, half way through": "?verdict=wrong&after={half}",
    "rarest verdict": "?verdict=timeout",
    "one problem's rarest verdict": "?problem=70&verdict=timeout",
    "text found often": "?q=answer+is",
    "text found nowhere": "?q=nowhere+to+be+found",
    "text found nowhere, half way through": "?q=nowhere+to+be+found&after={half}",
    "text in wrong samples of a problem": "?q=nowhere&verdict=wrong&problem=70",
}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="canopy-bench-") as folder:
        os.environ |= {
            "CANOPY_DATA": folder,
            "DATABASE_URL": f"sqlite://{folder}/bench.db",
            "DJANGO_SETTINGS_MODULE": "webapp.settings",
            "CANOPY_HOSTS": "testserver",
            "CANOPY_LOG_LEVEL": "ERROR",
        }
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        experiment = _fill()
        size = (Path(folder) / "bench.db").stat().st_size / 2**20
        rows = _measure(experiment)
        _report(rows, size)


def _fill() -> object:
    """A team with two experiments whose samples came in turn, as on a busy server."""
    from django.db import connection, transaction

    from jobs.kinds import get_kind
    from jobs.kinds.sampling.models import Problem
    from jobs.models import Experiment
    from webapp.accounts.memberships import create_team
    from webapp.accounts.models import User

    team = create_team("Bench", User.objects.create_user("bench@example.org", "Bench", "coverage grows with k"))
    spec = get_kind("sampling").Spec(samples=10_000).model_dump(mode="json")
    pair = [
        Experiment.objects.create(team=team, kind="sampling", name=f"e{i}", spec=spec, status="finished")
        for i in (0, 1)
    ]
    each = SAMPLES // 2 // PROBLEMS
    for experiment in pair:
        Problem.objects.bulk_create(
            Problem(
                experiment=experiment,
                index=i,
                uid=f"p{i}",
                question=f"Problem {i}?",
                answer=str(i),
                n=each,
                c=each // (i + 2),
            )
            for i in range(PROBLEMS)
        )
    problems = [list(experiment.problems.order_by("index").values_list("pk", flat=True)) for experiment in pair]
    for start in range(1, SAMPLES + 1, CHUNK):
        samples, texts = [], []
        for pk in range(start, min(start + CHUNK, SAMPLES + 1)):
            turn, place = divmod(pk - 1, 2 * PROBLEMS)
            which, problem = place % 2, place // 2
            verdict = "timeout" if pk % 5000 == 1 else "correct" if (pk * 7919) % (problem + 2) == 0 else "wrong"
            answer = str(problem if verdict == "correct" else pk % 37)
            samples.append(
                (pk, pair[which].pk, problems[which][problem], turn, pk, 90, -30.5, "stop", verdict, answer, answer, "")
            )
            texts.append((pk, f"{TEXT}The answer is {answer}."))
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO sampling_sample (id, experiment_id, problem_id, 'index', seed, tokens, logprob, finish,"
                " verdict, answer, canonical, reason, level, created_at)"
                " VALUES (%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,'','2026-01-01')",
                samples,
            )
            cursor.executemany("INSERT INTO sampling_sampletext (sample_id, text) VALUES (%s, %s)", texts)
    return pair[0]


def _measure(experiment: object) -> dict[str, list[float]]:
    """Milliseconds of each request, per page; the first request of all, which imports and compiles, is left out."""
    from django.conf import settings
    from django.test import Client
    from django.urls import reverse

    from webapp.accounts.models import User

    # Static names without collectstatic.
    settings.STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    client = Client()
    client.force_login(User.objects.get())
    address = reverse("experiment-tab", args=[experiment.code, "samples"])  # type: ignore[attr-defined]
    client.get(address)
    taken: dict[str, list[float]] = {}
    for title, query in PAGES.items():
        for _ in range(RUNS):
            begin = time.perf_counter()
            answer = client.get(address + query.format(half=SAMPLES // 2), headers={"X-Part": "browser"})
            taken.setdefault(title, []).append((time.perf_counter() - begin) * 1000)
            assert answer.status_code == 200
    return taken


def _report(taken: dict[str, list[float]], size: float) -> None:
    from benchmarks._report import Row, write_report

    rows = []
    for title, times in taken.items():
        rows.append(Row(title, "median request", "ms", statistics.median(times), goal=f"< {GOAL_MS}"))
        rows.append(Row(title, "slowest request", "ms", max(times)))
    notes = (
        f"{SAMPLES:,} samples of two experiments in one SQLite database of {size:,.0f} MiB; {RUNS} requests a page "
        "through Django's test client, template included; the file is in the page cache. A text search reads a bounded "
        "number of texts a request and then offers to go on."
    )
    write_report("sample-browser", "Sample browser with a million samples", rows, packages=["django"], notes=notes)


if __name__ == "__main__":
    main()
