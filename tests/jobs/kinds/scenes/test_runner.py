"""The runner's functions one by one, without a database: bad data, a loss that is no number, attempts that died."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from engine.scenes.stages import AutoencoderStage
from jobs.kinds.runner_parts import Hopeless
from jobs.kinds.scenes.collect import collect
from jobs.kinds.scenes.data import open_data
from jobs.kinds.scenes.sizes import batches, budget, models, packing
from jobs.kinds.scenes.spec import ScenesSpec
from jobs.kinds.scenes.train import train
from tests.engine.scenes.data.folders import edit, write_gsn
from tests.jobs.kinds.sampling.fake_context import FakeContext
from tests.jobs.kinds.scenes.conftest import TINY


@pytest.fixture(autouse=True)
def _broker() -> None:
    """These need none."""


def spec(**changes: Any) -> ScenesSpec:
    return ScenesSpec.model_validate(TINY | changes)


def source(of: ScenesSpec, folder: Path | None = None) -> dict[str, Any]:
    common = {"packing": packing(of), "experiment": "one", "test_share": 0.1, "fingerprint": None}
    if folder is not None:
        return {"kind": "path", "path": str(folder), **common}
    return {"kind": "rooms", "scenes": of.rooms, "size": of.image_size, **common}


def collect_job(of: ScenesSpec, data: dict[str, Any], memory: int | None = None) -> dict[str, Any]:
    return {
        "data": data,
        "name": "Rooms",
        "strict": of.strict,
        "train": True,
        "models": models(of, True),
        "batches": batches(of, 10_000),
        "memory": memory,
        "show": 0,
    }


def train_job(of: ScenesSpec, folder: Path) -> dict[str, Any]:
    return {
        "data": source(of),
        "folder": str(folder),
        "stage": "autoencoder",
        "title": "Scene auto-encoder",
        "key": "key",
        "reuse": None,
        "models": {},
        "model": models(of, True)["autoencoder"],
        "budget": budget(of, "autoencoder"),
        "batch": batches(of, 10)["autoencoder"],
        "cameras": 2,
    }


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda cameras: cameras[:2], "2 cameras for 4 pictures"),
        (lambda cameras: [{"Rt": each["Rt"]} for each in cameras], "no focal length"),
        (lambda cameras: cameras[:1], "1 cameras for 4 pictures"),
    ],
    ids=["poses", "intrinsics", "one"],
)
def test_bad_data_is_named(tmp_path: Path, spoil: Any, sentence: str) -> None:
    edit(write_gsn(tmp_path / "set" / "wall") / "cameras.json", spoil)
    context = FakeContext(tmp_path / "data")
    with pytest.raises(Hopeless, match=sentence):
        collect(collect_job(spec(), source(spec(), tmp_path / "set")), context)
    assert [row["is"] for row in context.rows] == ["refused"]


def test_too_little_memory_is_said_before_training(tmp_path: Path) -> None:
    context = FakeContext(tmp_path)
    with pytest.raises(Hopeless, match=r"scene auto-encoder: A step needs about .* GiB are there; .* Use "):
        collect(collect_job(spec(), source(spec()), memory=2**10), context)
    told = context.rows[0]["values"]
    assert told["memory"]["total"] > told["memory"]["available"] == 2**10 and told["scenes"]["train"] == 2


def test_data_that_changed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Hopeless, match="changed since"):
        open_data({**source(spec()), "fingerprint": "another"}, tmp_path, FakeContext())


def test_a_loss_that_is_no_number_stops_with_the_step_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    true_losses = AutoencoderStage.losses

    def losses(self: AutoencoderStage, generator: torch.Generator) -> dict[str, torch.Tensor]:
        calls.append(1)
        return {
            name: value * (float("nan") if len(calls) == 4 else 1)
            for name, value in true_losses(self, generator).items()
        }

    monkeypatch.setattr(AutoencoderStage, "losses", losses)
    context = FakeContext(tmp_path)
    with pytest.raises(Hopeless, match=r"Scene auto-encoder: step 4: .* Try a lower learning rate") as caught:
        train(train_job(spec(), tmp_path / "run"), context)
    assert caught.value.is_final
    assert context.rows[-1] == {"is": "not finite", "step": 4}
    assert [row["step"] for row in context.rows if row["is"] == "point"] == [1, 2, 3]
    assert [(name, path.exists()) for path, name, _ in context.artifacts] == [("nonfinite-autoencoder.pt", True)]


class Dies(FakeContext):
    """Cancelled after so many points: what a worker's last breath looks like to the next attempt."""

    def __init__(self, data_dir: Path, points: int) -> None:
        super().__init__(data_dir)
        self._points = points

    @property
    def cancelled(self) -> bool:
        return sum(row["is"] == "point" for row in self.rows) >= self._points


def test_an_attempt_goes_on_and_tells_what_the_one_before_told(tmp_path: Path) -> None:
    def points(context: FakeContext) -> list[Any]:
        return [row for row in context.rows if row["is"] == "point"]

    quiet = FakeContext(tmp_path)
    train(train_job(spec(), tmp_path / "quiet"), quiet)
    first, second, third = Dies(tmp_path, 3), FakeContext(tmp_path), FakeContext(tmp_path)
    job = train_job(spec(), tmp_path / "disturbed")
    train(job, first)
    assert not any(row["is"] == "trained" for row in first.rows) and (tmp_path / "disturbed" / "last.pt").exists()
    (tmp_path / "disturbed" / "points.jsonl").open("a").write('{"is": "point", "st')  # killed while it wrote
    train(job, second)
    assert points(second) == points(quiet) and len(points(quiet)) == 6
    weights = [(tmp_path / name / "averaged.safetensors").read_bytes() for name in ("quiet", "disturbed")]
    assert weights[0] == weights[1]
    train(job, third)  # the worker died before it could say that it was done
    assert points(third) == points(quiet) and [row["is"] for row in third.rows][-1] == "trained"
    other = FakeContext(tmp_path)
    train({**job, "key": "other inputs"}, other)
    assert other.logs == ["The stage starts over: its inputs have changed."] and points(other) == points(quiet)
