"""The whole product on this machine, as a person uses it: python -m benchmarks.whole_product

Starts `manage.py serve` (broker, web, workers, reconciler) on an empty data folder, submits an experiment of 100
problems times 1,000 samples with the demo model, and reads the page's own live state once a second until it is
finished. The GPU's busy share is nvidia-smi's, twice a second while samples were drawn; left out without a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks._report import ROOT, Row, write_report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--samples", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=600, help="give up after this time")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="canopy-bench-", dir="/tmp")))
        port = _serve(folder, stack)
        experiment, cookie = _submit(options.problems, options.samples)
        gpu = GpuWatch(stack)
        page = f"http://localhost:{port}/experiments/{experiment.code}/"
        readings = _follow(page, cookie, options.seconds)
        _report(options, experiment, readings, gpu)


def _serve(folder: Path, stack: ExitStack) -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port: int = probe.getsockname()[1]
    os.environ |= {
        "CANOPY_DATA": str(folder / "data"),
        "DJANGO_SETTINGS_MODULE": "webapp.settings",
        "HF_HUB_OFFLINE": "1",
        "CANOPY_PORT": str(port),
    }
    server = subprocess.Popen([sys.executable, "manage.py", "serve"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    stack.callback(server.wait, 60)
    stack.callback(server.terminate)
    assert server.stdout is not None
    for line in server.stdout:
        print("   ", line, end="", flush=True)
        if line.startswith("Stop it"):
            break
    else:
        sys.exit("Canopy did not start")
    import django

    django.setup()
    return port


def _submit(problems: int, samples: int) -> tuple[Any, str]:
    """A team's uploaded problem set and an experiment on it; returns it with a member's session cookie."""
    from django.test import Client

    from engine.problems import parse_jsonl
    from jobs import services
    from jobs.kinds import get_kind
    from jobs.kinds.sampling.models import ProblemSet
    from jobs.kinds.sampling.presets import get_preset
    from webapp.accounts.memberships import create_team
    from webapp.accounts.models import User

    user = User.objects.create_user("bench@example.org", "Bench", "coverage grows with k")
    team = create_team("Bench", user)
    records = [asdict(problem) for problem in parse_jsonl("\n".join(_problem(number) for number in range(problems)))]
    made = ProblemSet.objects.create(team=team, name="sums", problems=records, count=problems, created_by=user)
    values = get_preset("demo").values | {"problems": f"set/{made.code}", "samples": samples}
    spec = get_kind("sampling").Spec.model_validate(values)
    experiment = services.submit(team=team, owner=user, kind="sampling", name="Whole product", spec=spec)
    client = Client()
    client.force_login(user)
    return experiment, client.cookies["sessionid"].value


def _problem(number: int) -> str:
    draw = random.Random(number)
    a, b, c = draw.randint(2, 40), draw.randint(2, 12), draw.randint(2, 60)
    return json.dumps({"question": f"What is {a} times {b}, plus {c}?", "answer": str(a * b + c)})


@dataclass(frozen=True, slots=True)
class Reading:
    at: float  # seconds since the experiment was submitted
    state: dict[str, Any]


def _follow(page: str, cookie: str, seconds: float) -> list[Reading]:
    begin = time.monotonic()
    readings: list[Reading] = []
    while time.monotonic() - begin < seconds:
        state = json.loads(_get(f"{page}live.json", cookie))
        readings.append(Reading(time.monotonic() - begin, state))
        kind = state["kind"]
        print(
            f"{readings[-1].at:6.1f} s  {state['status']}: {kind['drawn']:,} drawn, {kind['graded']:,} graded",
            flush=True,
        )
        if state["status"] in ("finished", "failed", "cancelled"):
            if state["status"] != "finished":
                sys.exit(f"The experiment {state['status']}: {state['reason']} {state['failures']}")
            return readings
        time.sleep(1)
    sys.exit(f"not finished after {seconds:g} s: {readings[-1].state['stages']} {readings[-1].state['log'][-5:]}")


def _get(address: str, cookie: str) -> bytes:
    request = urllib.request.Request(address, headers={"Cookie": f"sessionid={cookie}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        content: bytes = answer.read()
    return content


class GpuWatch:
    """nvidia-smi's utilisation in per cent, with the time of each reading."""

    def __init__(self, stack: ExitStack) -> None:
        self.readings: list[tuple[float, float]] = []
        self.begin = time.monotonic()
        tool = shutil.which("nvidia-smi")
        if tool is None:
            return
        command = [tool, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=500", "--id=0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        stack.callback(process.kill)
        threading.Thread(target=self._read, args=(process.stdout,), daemon=True).start()

    def _read(self, lines: Any) -> None:
        for line in lines:
            self.readings.append((time.monotonic() - self.begin, float(line)))

    def busy(self, begin: float, end: float) -> float | None:
        values = [value for at, value in self.readings if begin <= at <= end]
        return statistics.mean(values) if values else None


def _report(options: argparse.Namespace, experiment: Any, readings: list[Reading], gpu: GpuWatch) -> None:
    from django.db.models import Sum

    from jobs.kinds.sampling.models import Problem, Sample

    wanted = options.problems * options.samples
    samples = Sample.objects.filter(experiment=experiment)
    if samples.count() != wanted or samples.values("problem", "index").distinct().count() != wanted:
        sys.exit(f"{samples.count()} samples are stored where {wanted} were wanted")
    tokens = Problem.objects.filter(experiment=experiment).aggregate(tokens=Sum("tokens"))["tokens"]
    drawing = [reading for reading in readings if reading.state["kind"]["drawn"]]
    begin = max((reading.at for reading in readings if not reading.state["kind"]["drawn"]), default=0.0)
    end = next(reading.at for reading in drawing if reading.state["kind"]["drawn"] == wanted)
    last = readings[-1].state
    curve = last["kind"]["curve"]
    case = f"{options.problems} problems x {options.samples:,} samples"
    rows = [
        Row(case, "submitted to finished", "s", readings[-1].at),
        Row(case, "model loaded, first samples stored", "s", drawing[0].at),
        Row(case, "drawing", "s", end - begin),
        Row(case, "drawn while drawing, stored in the database", "tokens/s", tokens / (end - begin)),
        Row(case, "drawn while drawing, stored in the database", "samples/s", wanted / (end - begin)),
        Row(case, "coverage at 1, as the page shows", "%", 100 * curve["coverage"][0]),
        Row(case, f"coverage at {curve['k'][-1]:,}, as the page shows", "%", 100 * curve["coverage"][-1]),
    ]
    if (busy := gpu.busy(begin, end)) is not None:
        rows.append(Row(case, "GPU busy while drawing (nvidia-smi)", "%", busy))
    notes = (
        "SmolLM2-135M-Instruct, few-shot chat prompt, temperature 0.8, at most 64 new tokens, 'gsm8k' grading on one "
        "CPU worker, SQLite and the embedded Valkey. Times are from the page's live state, read once a second. Every "
        "(problem, index) pair is stored exactly once."
    )
    title = "The whole product, from submit to curve"
    write_report("whole-product", title, rows, packages=["torch", "django"], notes=notes)


if __name__ == "__main__":
    main()
