"""How long pages of large experiments take: python -m benchmarks.compare_page [samples per problem]

Makes an SQLite database with one experiment of 200 problems and 10,000 samples each, and 19 more whose counters are as
large: curves and comparisons read counters alone. Then it signs a member in and asks for each page 40 times: whole
requests through every middleware, template included, in one process.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.http import HttpResponse

    from jobs.models import Experiment

PROBLEMS = 200
SAMPLES = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
EXPERIMENTS = 20
RUNS = 40
COLD_RUNS = 3
PAGE_MS, FILTER_MS, ANALYSIS_MS = 200, 300, 1_000
CHUNK = 50_000
ANSWERS = 40  # different wrong answers to a problem
TEXT = "We add the two numbers first and then look at what is left. "

Ask = Callable[[], "HttpResponse"]


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
        begin = time.perf_counter()
        experiments = _fill()
        print(f"filled in {time.perf_counter() - begin:.0f} s")
        size = (Path(folder) / "bench.db").stat().st_size / 2**20
        _report(_measure(experiments), size)


def _fill() -> list[Experiment]:
    """A team with EXPERIMENTS experiments; the first has its samples, too."""
    from jobs.kinds import get_kind
    from jobs.kinds.sampling.models import Problem
    from jobs.models import Experiment
    from webapp.accounts.memberships import create_team
    from webapp.accounts.models import User

    team = create_team("Bench", User.objects.create_user("bench@example.org", "Bench", "coverage grows with k"))
    spec = get_kind("sampling").Spec(samples=SAMPLES).model_dump(mode="json")
    rng = random.Random(1)
    made = []
    for i in range(EXPERIMENTS):
        experiment = Experiment.objects.create(
            team=team, kind="sampling", name=f"Run {i}", spec=spec | {"seed": i}, status="finished", last_seq=1
        )
        Problem.objects.bulk_create(_problem(experiment, index, rng) for index in range(PROBLEMS))
        made.append(experiment)
    _draw(made[0])
    return made


def _problem(experiment: Experiment, index: int, rng: random.Random) -> object:
    from jobs.kinds.sampling.models import Problem

    chance = rng.betavariate(0.35, 1.2)
    return Problem(
        experiment=experiment,
        index=index,
        uid=f"p{index}",
        question=f"Problem {index}: how many are left? " * 4,
        answer=str(index),
        n=SAMPLES,
        c=round(chance * SAMPLES),
        drawn=SAMPLES,
        tokens=90 * SAMPLES,
    )


def _draw(experiment: Experiment) -> None:
    """The samples that the counters count, in the order a worker would write them."""
    from django.db import connection, transaction

    problems = list(experiment.problems.order_by("index").values_list("pk", "c"))
    rng = random.Random(2)
    pk = 0
    rows: list[tuple[object, ...]] = []
    for problem, (problem_pk, correct) in enumerate(problems):
        right = set(rng.sample(range(SAMPLES), correct))
        for index in range(SAMPLES):
            pk += 1
            verdict = "correct" if index in right else "wrong"
            answer = str(problem if index in right else 1000 + int(rng.random() ** 2 * ANSWERS))
            logprob = -90 * (0.3 + 0.2 * rng.random())
            rows.append((pk, experiment.pk, problem_pk, index, pk, 90, logprob, "stop", verdict, answer, answer, ""))
        if len(rows) >= CHUNK or problem == len(problems) - 1:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO sampling_sample (id, experiment_id, problem_id, 'index', seed, tokens, logprob,"
                    " finish, verdict, answer, canonical, reason, level, created_at)"
                    " VALUES (%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,'','2026-01-01')",
                    rows,
                )
                texts = ((row[0], f"{TEXT}The answer is {row[9]}.") for row in rows)
                cursor.executemany("INSERT INTO sampling_sampletext (sample_id, text) VALUES (%s, %s)", texts)
            rows = []


def _measure(experiments: list[Experiment]) -> list[tuple[str, list[float], int | None]]:
    """(case, milliseconds of each request, goal). Warm: the first request of each is left out."""
    from django.conf import settings
    from django.core.cache import cache
    from django.test import Client
    from django.urls import reverse

    from webapp.accounts.models import User

    # Static names without collectstatic; a cache in this process instead of Valkey.
    settings.STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    client = Client()
    client.force_login(User.objects.get())
    large = experiments[0]
    page = reverse("experiment", args=[large.code])
    compare = f"{reverse('compare', args=[large.team.code])}?" + "&".join(f"e={each.code}" for each in experiments)
    two = compare.split("&", 2)
    pages = {
        "overview": (page, PAGE_MS),
        "live state": (f"{page}live.json", PAGE_MS),
        "analysis tab": (f"{page}analysis/", PAGE_MS),
        "analysis tab, forecast": (f"{page}data/forecast.json", PAGE_MS),
        "analysis tab, selection": (f"{page}data/selection.json", PAGE_MS),
        "compare 2 experiments": ("&".join(two[:2]), PAGE_MS),
        f"compare {EXPERIMENTS} experiments": (compare, PAGE_MS),
        "samples, by verdict": (f"{page}samples/?verdict=correct", FILTER_MS),
        "samples, of a problem": (f"{page}samples/?problem=150&verdict=wrong", FILTER_MS),
        "samples, with a text": (f"{page}samples/?q=answer+is+1007", FILTER_MS),
        "samples, with a text that none has": (f"{page}samples/?q=nowhere", FILTER_MS),
    }
    client.get(page)  # imports and compiled templates

    def timed(address: str) -> float:
        begin = time.perf_counter()
        answer = client.get(address)
        taken = (time.perf_counter() - begin) * 1000
        assert answer.status_code == 200, (address, answer.status_code)
        return taken

    found: list[tuple[str, list[float], int | None]] = []
    cold: dict[str, int | None] = {
        f"compare {EXPERIMENTS} experiments": ANALYSIS_MS,
        "analysis tab, forecast": None,
        "analysis tab, selection": None,
    }
    for case, goal in cold.items():
        times = []
        for _ in range(COLD_RUNS):
            cache.clear()
            times.append(timed(pages[case][0]))
        found.append((f"{case}, nothing in the cache", times, goal))
    for case, (address, most) in pages.items():
        timed(address)
        found.append((case, [timed(address) for _ in range(RUNS)], most))
    return found


def _report(found: list[tuple[str, list[float], int | None]], size: float) -> None:
    from benchmarks._report import Row, write_report

    rows = []
    for case, times, goal in found:
        ordered = sorted(times)
        if len(ordered) < RUNS:
            goal_text = f"< {goal}" if goal else None
            rows.append(Row(case, f"slowest of {len(ordered)}", "ms", ordered[-1], goal=goal_text))
            continue
        rows.append(Row(case, "p50", "ms", ordered[len(ordered) // 2]))
        rows.append(Row(case, "p95", "ms", ordered[int(0.95 * len(ordered))], goal=f"< {goal}"))
    notes = (
        f"{EXPERIMENTS} experiments of {PROBLEMS} problems with {SAMPLES:,} samples each; one has its "
        f"{PROBLEMS * SAMPLES:,} samples in the database, the others their counters, which is all that curves and "
        f"comparisons read. SQLite, {size:,.0f} MiB, the file in the page cache; {RUNS} requests a page through "
        "Django's test client, template included. The browser asks for forecast and selection after the page; they are "
        "kept until the experiment changes."
    )
    write_report(
        "sampling-pages", "Pages of large sampling experiments", rows, packages=["django", "numpy"], notes=notes
    )


if __name__ == "__main__":
    main()
