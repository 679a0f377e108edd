"""A worker's processors and what they say about themselves, without importing torch into the supervisor."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from jobs.models import Queue

_MIB = 2**20
_ASKED = ("index", "uuid", "name", "memory.used", "memory.total", "utilization.gpu", "temperature.gpu")
_LONGEST_ANSWER_SECONDS = 10  # a driver without persistence wakes the GPU first
_MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class Processor:
    """One GPU, or the CPU with all its cores. None: not told by the device."""

    name: str  # "NVIDIA H200" or "CPU, 2 cores"
    is_gpu: bool
    memory_used: int | None = None  # bytes
    memory_total: int | None = None
    utilisation: int | None = None  # percent of the last moments in which the GPU did something
    temperature: int | None = None  # degrees Celsius


def processors(queue: str) -> list[Processor]:
    """The GPUs of a GPU worker on a machine that has some, else the CPU."""
    return (visible_gpus() if queue == Queue.GPU else []) or [cpu()]


def describe(found: list[Processor]) -> str:
    """ "NVIDIA H200", "8 x NVIDIA H200" or "CPU, 2 cores"."""
    return found[0].name if len(found) == 1 else f"{len(found)} x {found[0].name}"


# --- GPUs -------------------------------------------------------------------------------------------------------------


def visible_gpus() -> list[Processor]:
    """The NVIDIA GPUs this process may use (CUDA_VISIBLE_DEVICES), as nvidia-smi tells; none where it does not."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    command = [tool, f"--query-gpu={','.join(_ASKED)}", "--format=csv,noheader,nounits"]
    try:
        listing = subprocess.run(
            command, capture_output=True, text=True, timeout=_LONGEST_ANSWER_SECONDS, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return select_gpus(listing, os.environ.get("CUDA_VISIBLE_DEVICES"))


def select_gpus(listing: str, visible: str | None) -> list[Processor]:
    """GPUs out of nvidia-smi's lines, limited to ``visible`` (None: all) as CUDA reads it."""
    rows = [[part.strip() for part in line.split(",")] for line in listing.splitlines()]
    rows = [row for row in rows if len(row) == len(_ASKED)]
    if visible is None:
        return [_gpu(row) for row in rows]
    wanted = [part.strip() for part in visible.split(",") if part.strip()]
    return [_gpu(row) for want in wanted for row in rows if want == row[0] or row[1].startswith(want)]


def _gpu(row: list[str]) -> Processor:
    _, _, name, *numbers = row
    used, total, utilisation, temperature = map(_whole, numbers)
    return Processor(
        name=name,
        is_gpu=True,
        memory_used=None if used is None else used * _MIB,
        memory_total=None if total is None else total * _MIB,
        utilisation=utilisation,
        temperature=temperature,
    )


def _whole(text: str) -> int | None:
    """nvidia-smi writes [N/A] for what a device does not tell, such as the utilisation of a GPU in slices."""
    return int(text) if text.isdecimal() else None


# --- CPU --------------------------------------------------------------------------------------------------------------


def cpu() -> Processor:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    total, available = _memory()
    return Processor(
        name=f"CPU, {cores} core{'s' if cores > 1 else ''}",
        is_gpu=False,
        memory_used=None if total is None or available is None else total - available,
        memory_total=total,
    )


def _memory() -> tuple[int | None, int | None]:
    """(total, available) bytes of the machine. What the page cache holds is available; only Linux tells."""
    try:
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines() if ":" in line)
        total, available = (int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError, IndexError):
        return None, None
    return total, available
