"""What every benchmark writes: rows of numbers with the machine, versions, date, commit and command beside them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "benchmarks"


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement. floor: the physical or measured limit; peers: others' values for the same work."""

    case: str
    metric: str
    unit: str
    value: float
    floor: float | None = None
    peers: dict[str, float] = field(default_factory=dict)
    goal: str | None = None  # for example ">= 3"


def write_report(name: str, title: str, rows: Sequence[Row], *, packages: Sequence[str], notes: str = "") -> Path:
    """Print the rows as a table and write docs/benchmarks/<name>.json. packages: whose versions matter."""
    report = {
        "name": name,
        "title": title,
        "notes": notes,
        "machine": _machine(),
        "versions": {"python": platform.python_version()} | {each: _version(each) for each in packages},
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "command": f"python -m benchmarks.{name.replace('-', '_')}" + "".join(f" {arg}" for arg in sys.argv[1:]),
        "rows": [{key: value for key, value in asdict(row).items() if value not in (None, {})} for row in rows],
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    print(table(report))
    print(f"written to {path.relative_to(ROOT)}")
    return path


def table(report: dict[str, Any]) -> str:
    """The rows as a Markdown table; columns that no row uses are left out."""
    rows = report["rows"]
    peers = list(dict.fromkeys(peer for row in rows for peer in row.get("peers", {})))
    optional = [key for key in ("floor", "goal") if any(key in row for row in rows)]
    lines = [["case", "metric", "unit", "Canopy", *peers, *optional]]
    for row in rows:
        values = [
            row["value"],
            *(row.get("peers", {}).get(peer) for peer in peers),
            *(row.get(key) for key in optional),
        ]
        lines.append([row["case"], row["metric"], row["unit"], *(_cell(value) for value in values)])
    head, *body = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([head, "|" + " --- |" * len(lines[0]), *body])


def _cell(value: float | str | None) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _machine() -> str:
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{cores} cores of {_cpu_name()}, {memory:.0f} GiB memory{_gpus()}"


def _gpus() -> str:
    torch = sys.modules.get("torch")  # a benchmark that did not import it did not use a GPU
    if torch is None or not torch.cuda.is_available():
        return ""
    return f", {torch.cuda.device_count()} x {torch.cuda.get_device_name()}"


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """CANOPY_COMMIT names it where the files are without their repository, as on a machine lent for one run."""
    if given := os.environ.get("CANOPY_COMMIT"):
        return given

    def git(*args: str) -> str:
        return subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    # The results themselves are written by this run, so they do not make a tree dirty.
    dirty = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/benchmarks", ":!docs/benchmarks.md")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with changes" if dirty else "")
