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
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks._report import ROOT, Row, write_report

_LOOK_SECONDS = 0.5
_CURVE = (1, 10, 100)  # attempts at which the coverage is told, beside the last
RUNS = {"from a cold start": 1, "again, model warm": 2}  # and the seed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--samples", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=600, help="give an experiment up after this time")
    options = parser.parse_args()
    rows: list[Row] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="canopy-bench-", dir="/tmp")))
        port = _serve(folder, stack)
        account = _join(options.problems)
        gpu = GpuWatch(stack)
        for run, seed in RUNS.items():
            begin = time.monotonic()
            experiment = account.submit(run, options.samples, seed)
            page = f"http://localhost:{port}/experiments/{experiment.code}/"
            readings = _follow(page, account.cookie, begin, options.seconds)
            case = f"{options.problems} problems x {options.samples:,} samples, {run}"
            rows += _rows(case, experiment, readings, gpu, begin)
            _report(rows)


def _serve(folder: Path, stack: ExitStack) -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port: int = probe.getsockname()[1]
    os.environ |= {
        "CANOPY_DATA": str(folder / "data"),
        "DJANGO_SETTINGS_MODULE": "webapp.settings",
        "HF_HUB_OFFLINE": "1",
        "TRITON_CACHE_DIR": str(folder / "triton"),
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


@dataclass(frozen=True, slots=True)
class Account:
    """A member of a team with an uploaded problem set, and the cookie of a session."""

    team: Any
    user: Any
    problems: str  # the set, as a spec names it
    cookie: str

    def submit(self, name: str, samples: int, seed: int) -> Any:
        from jobs import services
        from jobs.kinds import get_kind
        from jobs.kinds.sampling.presets import get_preset

        values = get_preset("demo").values | {"problems": self.problems, "samples": samples, "seed": seed}
        spec = get_kind("sampling").Spec.model_validate(values)
        return services.submit(team=self.team, owner=self.user, kind="sampling", name=name, spec=spec)


def _join(problems: int) -> Account:
    from django.test import Client

    from engine.problems import parse_jsonl
    from jobs.kinds.sampling.models import ProblemSet
    from webapp.accounts.memberships import create_team
    from webapp.accounts.models import User

    user = User.objects.create_user("bench@example.org", "Bench", "coverage grows with k")
    team = create_team("Bench", user)
    records = [asdict(problem) for problem in parse_jsonl("\n".join(_problem(number) for number in range(problems)))]
    made = ProblemSet.objects.create(team=team, name="sums", problems=records, count=problems, created_by=user)
    client = Client()
    client.force_login(user)
    return Account(team, user, f"set/{made.code}", client.cookies["sessionid"].value)


def _problem(number: int) -> str:
    draw = random.Random(number)
    a, b, c = draw.randint(2, 40), draw.randint(2, 12), draw.randint(2, 60)
    return json.dumps({"question": f"What is {a} times {b}, plus {c}?", "answer": str(a * b + c)})


@dataclass(frozen=True, slots=True)
class Reading:
    at: float  # seconds since the experiment was submitted
    state: dict[str, Any]


def _follow(page: str, cookie: str, begin: float, seconds: float) -> list[Reading]:
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
        time.sleep(_LOOK_SECONDS)
    sys.exit(f"not finished after {seconds:g} s: {readings[-1].state['stages']} {readings[-1].state['log'][-5:]}")


def _get(address: str, cookie: str) -> bytes:
    request = urllib.request.Request(address, headers={"Cookie": f"sessionid={cookie}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        content: bytes = answer.read()
    return content


class GpuWatch:
    """nvidia-smi's utilisation in per cent, with the time of each reading."""

    def __init__(self, stack: ExitStack) -> None:
        self.readings: list[tuple[float, float]] = []  # (monotonic time, per cent)
        tool = shutil.which("nvidia-smi")
        if tool is None:
            return
        command = [tool, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=200", "--id=0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        stack.callback(process.kill)
        threading.Thread(target=self._read, args=(process.stdout,), daemon=True).start()

    def _read(self, lines: Any) -> None:
        for line in lines:
            self.readings.append((time.monotonic(), float(line)))

    def busy(self, begin: float, end: float) -> float | None:
        values = [value for at, value in self.readings if begin <= at <= end]
        return statistics.mean(values) if values else None


def _rows(case: str, experiment: Any, readings: list[Reading], gpu: GpuWatch, submitted: float) -> list[Row]:
    tokens = _check(experiment)
    last = readings[-1].state
    wanted = last["kind"]["drawn"]
    drawing = [reading for reading in readings if reading.state["kind"]["drawn"]]
    begin = max((reading.at for reading in readings if not reading.state["kind"]["drawn"]), default=0.0)
    end = next(reading.at for reading in drawing if reading.state["kind"]["drawn"] == wanted)
    rows = [
        Row(case, "submitted to finished", "s", readings[-1].at),
        *(Row(case, f"of these, {step}", "s", seconds) for step, seconds in _start(last).items()),
        Row(case, "first samples stored after", "s", drawing[0].at),
        Row(case, "drawing", "s", end - begin),
        Row(case, "drawn and stored in the database while drawing", "samples/s", wanted / (end - begin)),
        Row(case, "drawn and stored in the database while drawing", "tokens/s", tokens / (end - begin)),
    ]
    calls, rate = _engine(experiment)
    rows.append(Row(case, "inside the engine's calls, as the page's panel shows", "tokens/s", rate))
    rows.append(Row(case, "time inside the engine's calls", "s", calls))
    if (busy := gpu.busy(submitted + begin, submitted + end)) is not None:
        rows.append(Row(case, "GPU busy while drawing (nvidia-smi)", "%", busy))
    curve = last["kind"]["curve"]
    coverage = dict(zip(curve["k"], curve["coverage"], strict=True))
    for k in [k for k in (*_CURVE, curve["k"][-1]) if k in coverage]:
        rows.append(Row(case, f"coverage at {k:,}, as the page shows", "%", 100 * coverage[k]))
    return rows


def _check(experiment: Any) -> int:
    """All tokens drawn; exits unless every sample is stored exactly once."""
    from django.db.models import Sum

    from jobs.kinds.sampling.models import Problem, Sample

    problems = Problem.objects.filter(experiment=experiment)
    samples = Sample.objects.filter(experiment=experiment)
    wanted = problems.count() * experiment.spec["samples"]
    if samples.count() != wanted or samples.values("problem", "index").distinct().count() != wanted:
        sys.exit(f"{samples.count()} samples are stored where {wanted} were wanted")
    return int(problems.aggregate(tokens=Sum("tokens"))["tokens"])


def _start(state: dict[str, Any]) -> dict[str, float]:
    """The seconds until the model is there, from the experiment's own log."""
    at = {
        line["text"].split()[0]: datetime.fromisoformat(line["at"])
        for line in reversed(state["log"])
        if line["text"].startswith(("Loading ", "Loaded "))
    }
    if len(at) < 2:
        return {}
    started = datetime.fromisoformat(state["started"])
    return {
        "until the runner has imported what it needs": (at["Loading"] - started).total_seconds(),
        "unpacking and loading the model": (at["Loaded"] - at["Loading"]).total_seconds(),
    }


def _engine(experiment: Any) -> tuple[float, float]:
    """(seconds inside the engine's calls, tokens/s there), from what the workers reported."""
    from jobs.kinds.sampling.speed import TOKENS_PER_SECOND
    from jobs.models import MetricSpan

    spans = MetricSpan.objects.filter(experiment=experiment).values_list("totals", flat=True)
    totals = [span[TOKENS_PER_SECOND] for span in spans if TOKENS_PER_SECOND in span]
    seconds = sum(length for _, length in totals)
    return seconds, sum(tokens for tokens, _ in totals) / seconds


def _report(rows: list[Row]) -> None:
    import torch  # noqa: F401  # the report names the GPUs of a process that has torch

    notes = (
        "SmolLM2-135M-Instruct, few-shot chat prompt, temperature 0.8, at most 64 new tokens, 'gsm8k' grading on one "
        "CPU worker, SQLite and the embedded Valkey. Cold: imports, unpacking the GGUF file, compiling every kernel "
        "(an empty Triton cache) and capturing graphs count. Times are from the page's live state, read twice a "
        "second. Every (problem, index) pair is stored exactly once."
    )
    title = "The whole product, from submit to curve"
    write_report("whole-product", title, rows, packages=["torch", "triton", "django"], notes=notes)


if __name__ == "__main__":
    main()
