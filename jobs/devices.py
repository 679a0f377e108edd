"""The names of a worker's processors, without importing torch into the supervisor."""

from __future__ import annotations

import os
import shutil
import subprocess

from jobs.models import Queue


def device_name(queue: str) -> str:
    """ "NVIDIA H200" for a GPU worker on a machine that has one, else "CPU, 2 cores"."""
    gpus = visible_gpus() if queue == Queue.GPU else []
    if not gpus:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return f"CPU, {cores} core{'s' if cores > 1 else ''}"
    return gpus[0] if len(gpus) == 1 else f"{len(gpus)} x {gpus[0]}"


def visible_gpus() -> list[str]:
    """Names of the NVIDIA GPUs this process may use (CUDA_VISIBLE_DEVICES), as nvidia-smi tells them."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    command = [tool, "--query-gpu=index,uuid,name", "--format=csv,noheader"]
    try:
        listing = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return select_gpus(listing, os.environ.get("CUDA_VISIBLE_DEVICES"))


def select_gpus(listing: str, visible: str | None) -> list[str]:
    """Names out of nvidia-smi's "index, uuid, name" lines, limited to ``visible`` (None: all) as CUDA reads it."""
    rows = [[part.strip() for part in line.split(",", 2)] for line in listing.splitlines() if line.count(",") >= 2]
    if visible is None:
        return [name for _, _, name in rows]
    wanted = [part.strip() for part in visible.split(",") if part.strip()]
    return [name for want in wanted for index, uuid, name in rows if want == index or uuid.startswith(want)]
