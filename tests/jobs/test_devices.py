"""Processors without torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs import devices
from jobs.devices import Processor, describe, processors, select_gpus
from jobs.worker import ThisWorker

LISTING = """0, GPU-aaaa, NVIDIA H200, 61440, 143771, 97, 64
1, GPU-bbbb, NVIDIA A100-SXM4-80GB, 0, 81920, [N/A], [N/A]
"""
H200 = Processor("NVIDIA H200", True, 61440 * 2**20, 143771 * 2**20, 97, 64)
A100 = Processor("NVIDIA A100-SXM4-80GB", True, 0, 81920 * 2**20, None, None)


@pytest.mark.parametrize(
    ("visible", "found"),
    [(None, [H200, A100]), ("1", [A100]), ("1,0", [A100, H200]), ("GPU-aa", [H200]), ("", []), ("-1", [])],
)
def test_gpus_are_chosen_as_cuda_does(visible: str | None, found: list[Processor]) -> None:
    assert select_gpus(LISTING, visible) == found


def test_other_output_than_a_listing_is_no_gpu() -> None:
    assert select_gpus("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n\n", None) == []


def tool(folder: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An nvidia-smi that runs ``body``, alone on the PATH."""
    script = folder / "nvidia-smi"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_a_gpu_worker_reports_its_gpus_and_a_cpu_worker_its_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool(tmp_path, f'while read line; do echo "$line"; done <<END\n{LISTING}END', monkeypatch)
    assert processors("gpu") == [H200, A100]
    assert describe([H200]) == "NVIDIA H200" and describe([H200, H200]) == "2 x NVIDIA H200"
    [cpu] = processors("cpu")
    assert cpu.name.startswith("CPU, ") and not cpu.is_gpu


@pytest.mark.parametrize("body", ["exit 9", "echo No devices were found"])
def test_without_a_gpu_the_cpu_stands_in(body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(tmp_path, body, monkeypatch)
    assert [each.is_gpu for each in processors("gpu")] == [False]


def test_memory_that_the_page_cache_holds_is_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "meminfo"
    told.write_text("MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    600 kB\n")
    monkeypatch.setattr(devices, "_MEMINFO", told)
    assert (devices.cpu().memory_used, devices.cpu().memory_total) == (400 * 1024, 1000 * 1024)
    monkeypatch.setattr(devices, "_MEMINFO", tmp_path / "missing")
    assert (devices.cpu().memory_used, devices.cpu().memory_total) == (None, None)


def test_a_gpu_that_stops_answering_keeps_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = ThisWorker("gpu@test", "gpu")
    for found in ([H200], [devices.cpu()]):
        monkeypatch.setattr("jobs.worker.processors", lambda queue, found=found: found)
        worker._looked = -10.0
        worker._look()
    assert worker._processors == [Processor("NVIDIA H200", True)]
