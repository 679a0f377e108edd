"""Milliseconds from a worker's commit to the paint in the browser: python -m benchmarks.live_latency

A real web process and a real Valkey on an SQLite database. This process plays the worker: every half second it records
30 samples and their verdicts the way the supervisor does (kind.record, one transaction, announce on commit), while
Chromium pages and plain web sockets watch the same experiment. A page notes the time at the start of the frame after
the one in which it drew a state; that frame's content is on the screen by then. Everything runs on this machine, so
there is one clock; the network is the loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

GOAL_MS = 300
HALF = 30  # problems a flush
PERIOD = 0.5  # s between two flushes
WATCH = """
window.painted = [];
document.addEventListener("DOMContentLoaded", () => document.getElementById("live").addEventListener("drawn", (event) =>
  requestAnimationFrame(() => window.painted.push([event.detail, performance.timeOrigin + performance.now()]))));
"""
Times = dict[int, float]  # sequence number -> seconds since 1970


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--browsers", type=int, default=4, help="open Chromium pages")
    parser.add_argument("--sockets", type=int, default=46, help="further subscribed web sockets")
    parser.add_argument("--flushes", type=int, default=100, help="at most 128")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="canopy-bench-", dir="/tmp")))
        port = _set_up(folder)
        _start(folder, port, stack)
        experiment, cookie = _experiment()
        sockets = Sockets(port, experiment.code, cookie, options.sockets)
        stack.callback(sockets.stop)
        pages = _open_pages(stack, port, experiment.code, cookie, options.browsers)
        commits = _work(experiment, min(options.flushes, 128))
        for page in pages:  # also lets the pages' last frames pass
            page.wait_for_function("(seq) => window.painted.some(([seen]) => seen >= seq)", arg=max(commits))
        painted = [_first_at_least(page.evaluate("window.painted"), commits, scale=1e-3) for page in pages]
        received = [_first_at_least(seen, commits) for seen in sockets.seen]
        _report(options, commits, painted, received)


def _set_up(folder: Path) -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port: int = probe.getsockname()[1]
    os.environ |= {
        "CANOPY_DATA": str(folder / "data"),
        "DATABASE_URL": f"sqlite://{folder}/bench.db",
        "DJANGO_SETTINGS_MODULE": "webapp.settings",
        "DJANGO_ALLOW_ASYNC_UNSAFE": "true",  # playwright keeps an event loop in the main thread
        "CANOPY_LOG_LEVEL": "ERROR",
    }
    import django

    django.setup()
    return port


def _start(folder: Path, port: int, stack: ExitStack) -> None:
    """Valkey and the web process, stopped when ``stack`` ends."""
    from django.core.management import call_command

    from webapp.launcher import ground, roster, valkey

    call_command("migrate", verbosity=0)
    ground.collect_static()
    broker, web = roster.broker(folder), roster.web(folder, "localhost", port)
    for child in (broker, web):
        child.start()
        stack.callback(child.stop, 5)
    assert broker.process is not None
    valkey.wait_until_ready(broker.process)
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    sys.exit(f"The web process does not answer: {(folder / 'web.log').read_text()[-2000:]}")


def _experiment() -> tuple[Any, str]:
    """A running experiment of 60 problems times 64 samples, and a member's session cookie."""
    from django.test import Client
    from django.utils import timezone

    from jobs import services
    from jobs.kinds import get_kind
    from webapp.accounts.memberships import create_team
    from webapp.accounts.models import User

    user = User.objects.create_user("bench@example.org", "Bench", "coverage grows with k")
    team = create_team("Bench", user)
    spec = get_kind("sampling").Spec(samples=64)
    experiment = services.submit(team=team, owner=user, kind="sampling", name="Latency", spec=spec)
    experiment.status, experiment.started_at = "running", timezone.now()
    experiment.save()
    client = Client()
    client.force_login(user)
    return experiment, client.cookies["sessionid"].value


class Sockets:
    """Plain subscribers in a thread of their own; ``seen`` holds each one's [(seq, seconds since 1970)]."""

    def __init__(self, port: int, code: object, cookie: str, count: int) -> None:
        self.seen: list[list[tuple[int, float]]] = [[] for _ in range(count)]
        self._url = f"ws://localhost:{port}/ws/experiments/{code}/"
        self._headers = {"Cookie": f"sessionid={cookie}"}
        self._origin = f"http://localhost:{port}"
        self._ready = threading.Barrier(2)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),), daemon=True)
        self._thread.start()
        self._ready.wait(60)

    async def _run(self) -> None:
        self._end = asyncio.Event()
        ready = asyncio.Semaphore(0)
        tasks = [asyncio.create_task(self._watch(seen, ready)) for seen in self.seen]
        for _ in tasks:
            await ready.acquire()
        self._ready.wait()
        await self._end.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, seen: list[tuple[int, float]], ready: asyncio.Semaphore) -> None:
        from websockets.asyncio.client import connect

        async with connect(self._url, origin=self._origin, additional_headers=self._headers) as connection:
            async for text in connection:
                now = time.time()
                message = json.loads(text)
                if message["type"] == "ready":
                    ready.release()
                elif message["type"] == "state":
                    seen.append((message["state"]["seq"], now))

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)


def _open_pages(stack: ExitStack, port: int, code: object, cookie: str, count: int) -> list[Any]:
    from playwright.sync_api import sync_playwright

    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        sys.exit("No Chromium was found: install the chromium package to measure up to the paint.")
    playwright = stack.enter_context(sync_playwright())
    browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
    stack.callback(browser.close)
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    context.add_cookies([{"name": "sessionid", "value": cookie, "url": f"http://localhost:{port}"}])
    context.add_init_script(WATCH)
    pages = [context.new_page() for _ in range(count)]
    for page in pages:
        page.goto(f"http://localhost:{port}/experiments/{code}/")
        page.wait_for_selector('[data-bind="sign"][data-state="live"]')
    return pages


def _work(experiment: Any, flushes: int) -> Times:
    """Record half of the problems' next sample every PERIOD; sequence number -> time of the commit."""
    commits: Times = {}
    for flush in range(flushes):
        begin = time.monotonic()
        commits.update([_flush(experiment, flush)])
        time.sleep(max(0.0, PERIOD - (time.monotonic() - begin)))
    return commits


def _flush(experiment: Any, flush: int) -> tuple[int, float]:
    from django.db import transaction

    from jobs import live, metrics
    from jobs.kinds.sampling.models import Sample
    from jobs.models import next_seq

    index, half = divmod(flush, 2)
    generate, grade = (experiment.shards.filter(stage=stage).first() for stage in ("generate", "grade"))
    problems = range(half * HALF, (half + 1) * HALF)
    rows = [
        {"problem": p, "index": index, "seed": p, "tokens": 40, "logprob": -9.5, "finish": "stop", "text": "It is 7."}
        for p in problems
    ]
    committed: list[float] = []
    with transaction.atomic():
        transaction.on_commit(lambda: committed.append(time.time()))
        seq = next_seq(experiment.pk)
        experiment.kind_object.record(generate, rows, seq)
        drawn = Sample.objects.filter(experiment=experiment, index=index, problem__index__in=problems)
        verdicts = [
            {
                "sample": pk,
                "outcome": "correct" if (index * 7 + p * 3) % (p + 2) == 0 else "wrong",
                "answer": "7",
                "canonical": "7",
                "reason": "",
                "seconds": 0.001,
                "level": "",
            }
            for pk, p in drawn.values_list("pk", "problem__index")
        ]
        experiment.kind_object.record(grade, verdicts, seq)
        metrics.write(experiment.pk, seq, [metrics.Report({"tokens_per_second": 2400.0}, PERIOD, time.time())])
        live.announce_on_commit(experiment.pk)
    return seq, committed[0]


def _first_at_least(seen: list[tuple[int, float]], commits: Times, scale: float = 1.0) -> list[float]:
    """Milliseconds from each commit to the first thing seen that includes it."""
    return [1000 * (min(at * scale for each, at in seen if each >= seq) - moment) for seq, moment in commits.items()]


def _report(
    options: argparse.Namespace, commits: Times, painted: list[list[float]], received: list[list[float]]
) -> None:
    import numpy as np

    from benchmarks._report import Row, write_report

    rows = []
    pages = f"{options.browsers + options.sockets} open pages"
    for case, series in ((f"commit to paint, {pages}", painted), (f"commit to socket, {pages}", received)):
        values = [value for each in series for value in each]
        for quantile in (50, 95, 99):
            goal = f"< {GOAL_MS}" if (quantile, series) == (95, painted) else None
            rows.append(Row(case, f"p{quantile}", "ms", float(np.percentile(values, quantile)), goal=goal))
    notes = (
        f"{options.browsers} Chromium pages timed up to the paint and {options.sockets} subscribed web sockets timed "
        f"up to the message, all on one experiment; {len(commits)} flushes of {HALF} samples and verdicts, one every "
        f"{PERIOD} s. "
        "Web process, Valkey, the worker's writes, the sockets and the browser share the machine."
    )
    write_report(
        "live-latency", "From a worker's commit to the paint", rows, packages=["django", "channels"], notes=notes
    )


if __name__ == "__main__":
    main()
