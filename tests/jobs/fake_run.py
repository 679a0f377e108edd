"""The runner side of the fake kind: one behaviour per way a job can go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from jobs.kinds.base import Context


def run(stage: str, job: dict[str, Any], context: Context) -> None:
    {
        "work": _work,
        "slow": _slow,
        "stubborn": _stubborn,
        "raise": _raise,
        "crash": _crash,
        "crash-once": _crash_once,
        "noisy": _noisy,
        "child": _child,
        "bad-row": _bad_row,
        "listen": _listen,
    }[job["behaviour"]](job, context)


def _work(job: dict[str, Any], context: Context) -> None:
    done = job["done"]
    context.progress(done)
    for unit in job["units"]:
        context.row({"unit": unit, "text": str(os.getpid())})
        done += 1
        context.progress(done)
    context.metrics({"units_per_second": float(done)}, 1.0)


def _slow(job: dict[str, Any], context: Context) -> None:
    for unit in job["units"]:
        context.row({"unit": unit, "text": "slow"})
        for _ in range(20):
            if context.cancelled:
                return
            time.sleep(0.05)


def _stubborn(job: dict[str, Any], context: Context) -> None:
    """Never looks at ``cancelled``."""
    context.row({"unit": job["units"][0], "text": "stubborn"})
    context.log(f"pid {os.getpid()}")
    while True:
        time.sleep(0.05)
        context.alive()


def _raise(job: dict[str, Any], context: Context) -> None:
    print("about to fail", flush=True)
    context.row({"unit": job["units"][0], "text": "before the failure"})
    raise ValueError("the weights are broken")


def _crash(job: dict[str, Any], context: Context) -> None:
    print("last words", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def _crash_once(job: dict[str, Any], context: Context) -> None:
    context.row({"unit": job["units"][0], "text": "first attempt"})
    if job["attempt"] == 1:
        time.sleep(0.8)  # until the row is flushed
        os.kill(os.getpid(), signal.SIGSEGV)
    _work(job, context)


def _noisy(job: dict[str, Any], context: Context) -> None:
    """Libraries print what they like, and texts hold what databases refuse."""
    print('{"is": "done", "id": "0.0"}\x00', flush=True)
    sys.stderr.write("warning\n")
    context.log("nul \0 and half \ud800 a pair")
    context.metrics({"units_per_second": float("inf")}, 1.0)
    for unit in job["units"]:
        context.row({"unit": unit, "text": "a\0b"})
    file = Path(context.data_dir) / "noise.txt"
    file.write_text("noise")
    context.artifact(file, "noise.txt", "text/plain")


def _child(job: dict[str, Any], context: Context) -> None:
    """Has a process of its own, as graders do, and says so."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    context.log(f"pid {child.pid}")
    _stubborn(job, context)


def _listen(job: dict[str, Any], context: Context) -> None:
    """Goes on when the news say that its last row was recorded."""
    for unit in job["units"]:
        context.row({"unit": unit, "text": f"after {context.news.get('recorded', 0)}"})
        while context.news.get("recorded", 0) <= unit and not context.cancelled:
            time.sleep(0.02)


def _bad_row(job: dict[str, Any], context: Context) -> None:
    context.row({"wrong": "columns"})
