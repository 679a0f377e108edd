"""Device names without torch."""

from __future__ import annotations

import pytest

from jobs.devices import device_name, select_gpus

LISTING = "0, GPU-aaaa, NVIDIA H200\n1, GPU-bbbb, NVIDIA A100-SXM4-80GB\n"


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, ["NVIDIA H200", "NVIDIA A100-SXM4-80GB"]),
        ("1", ["NVIDIA A100-SXM4-80GB"]),
        ("1,0", ["NVIDIA A100-SXM4-80GB", "NVIDIA H200"]),
        ("GPU-aa", ["NVIDIA H200"]),
        ("", []),
        ("-1", []),
    ],
)
def test_gpus_are_chosen_as_cuda_does(visible: str | None, names: list[str]) -> None:
    assert select_gpus(LISTING, visible) == names


def test_a_cpu_worker_names_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.devices.visible_gpus", lambda: ["NVIDIA H200"])
    assert device_name("gpu") == "NVIDIA H200"
    assert device_name("cpu").startswith("CPU, ")
