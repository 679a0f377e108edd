"""The Spec, its presets, the stages and the keys of trained stages. No database."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from jobs.kinds.scenes.plan import shard_of, stages
from jobs.kinds.scenes.presets import PRESETS
from jobs.kinds.scenes.sizes import batches, keys, models
from jobs.kinds.scenes.spec import ScenesSpec


def spec(**changes: Any) -> ScenesSpec:
    return ScenesSpec.model_validate(changes)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_presets_are_valid(preset: Any) -> None:
    assert spec(**preset.values).model_dump(mode="json")["data"].startswith("builtin/")


def test_what_is_refused() -> None:
    for changes in (
        {"data": "builtin/moon"},
        {"data": "set/1"},
        {"grid": "1x2x3"},
        {"image_size": 40},
        {"learning_rate": float("nan")},
        {"start_from": "the last one"},
        {"sampler_g": "euler"},
        {"voxels": 3},
    ):
        with pytest.raises(ValidationError):
            spec(**changes)
    code = "6f1c0f5d-7f0f-4c2e-9d0c-2a5b0a1f3c11"
    assert spec(start_from=f" {code.replace('-', '').upper()} ").start_from == code
    assert spec(stride="2").stride == 2


def test_stages() -> None:
    plan = stages(spec(scenes=10), asked=2)
    assert [stage.name for stage in plan] == [
        "collect",
        "autoencoder",
        "latents",
        "diffusion",
        "sample",
        "evaluate",
        "generate",
    ]
    assert [shard.payload for shard in plan[4].shards] == [{"first": 1, "count": 8}, {"first": 9, "count": 2}]
    assert [shard_of(number) for number in (1, 8, 9, 10)] == [0, 0, 1, 1]
    assert plan[6].aside and len(plan[6].shards) == 2
    assert [stage.name for stage in stages(spec(train=False))] == ["collect"]
    assert "evaluate" not in [stage.name for stage in stages(spec(evaluate=False))]


def test_a_key_names_all_that_decides_and_nothing_else() -> None:
    first = keys(spec(), "data", 8, True)
    assert keys(spec(scenes=3, steps_f=7, evaluate=False), "data", 8, True) == first
    assert all(first[stage] != other for stage, other in keys(spec(), "other data", 8, True).items())
    later = keys(spec(diffusion_steps=5), "data", 8, True)
    assert [later[stage] == first[stage] for stage in first] == [True, True, False]
    earlier = keys(spec(width=32), "data", 8, True)
    assert not any(earlier[stage] == first[stage] for stage in first)
    assert keys(spec(), "data", 8, False)["diffusion"] != first["diffusion"], "maps are a condition"


def test_batches_never_ask_for_more_pictures_than_there_are() -> None:
    small = batches(spec(views_given=8, views_asked=4), 5)
    assert small["autoencoder"] == {"batch": 2, "given": 4, "asked": 1} and small["latents"]["given"] == 5
    assert batches(spec(groups="c"), 9)["diffusion"]["cameras"] == 0


def test_ablations_leave_networks_out() -> None:
    assert models(spec(groups="c+f", prediction="flow"), True)["diffusion"]["groups"] == ["c", "f"]
    assert models(spec(use_map=False), True)["diffusion"]["map_channels"] == 0
