"""Where a job's scenes come from, on the disk of the worker that runs it. No Django.

An upload is unpacked once on each worker; a folder is read where it is; rooms are drawn and Freedoom is rendered anew,
the same everywhere. What was read is packed at the size that the model takes, once on each worker, and later stages map
that.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.detection.data.archive import unpack
from engine.detection.data.types import DatasetError
from engine.doom import DoomMissingError, GameMap, Recipe, campaign_maps, split_maps
from engine.scenes.data import (
    Loaded,
    PackedScenes,
    PackSettings,
    Report,
    Scene,
    SceneDataError,
    collect_dataset,
    load_scenes,
    pack_scenes,
)
from engine.scenes.data.rooms import draw_rooms
from jobs.kinds.runner_parts import Hopeless, beating, made_once
from jobs.kinds.scenes.places import experiment_folder, scenes_folder
from jobs.kinds.scenes.sizes import key_of

if TYPE_CHECKING:
    from jobs.kinds.base import Context

_HELD_OUT_EVERY = 5  # views of scenes that name none to hold out
_FEWEST_TO_HOLD_OUT = 3
_METRES = {"rooms": 1.0, "freedoom": 3 / 128}  # of a world unit; unknown for what somebody gives
_SENTENCES = 20
_CHUNK = 64  # views

Progress = Callable[[float], None]  # 0 to 1


@dataclass(frozen=True)
class Data:
    """Scenes to train on and to test with; where nothing could be set aside, the same."""

    train: PackedScenes
    test: PackedScenes
    facts: dict[str, Any]  # as `_facts` makes them

    @property
    def views(self) -> tuple[int, int]:
        """(pictures of a scene, those of them that are never encoded), as `PackedScenes.tensors` takes them."""
        return self.facts["views"], self.facts["held_out"]


def open_data(source: dict[str, Any], data_dir: Path, context: Context, progress: Progress = lambda _: None) -> Data:
    """The scenes a job names (jobs.kinds.scenes.jobs makes ``source``). Raises Hopeless."""
    home = scenes_folder(data_dir)
    folder = _packed_folder(home, data_dir, source)
    try:
        with beating(context):
            made_once(folder, lambda draft: _pack(home, source, draft, context, progress))
            data = _opened(folder)
    except (DatasetError, DoomMissingError) as error:
        raise Hopeless(str(error)) from None
    if source.get("fingerprint") not in (None, data.facts["fingerprint"]):
        raise Hopeless("The scenes have changed since the experiment began: submit the experiment again.")
    return data


def _packed_folder(home: Path, data_dir: Path, source: dict[str, Any]) -> Path:
    """A folder may change, so what was read of it belongs to one experiment."""
    if source["kind"] == "path":
        return experiment_folder(data_dir, source["experiment"]) / "packed"
    named = ("kind", "key", "scenes", "maps", "size", "packing", "test_share")
    return home / "packed" / key_of({name: source.get(name) for name in named})[:24]


def _opened(folder: Path) -> Data:
    facts = json.loads((folder / "facts.json").read_text())
    train = PackedScenes.open(folder / "train")
    return Data(train, PackedScenes.open(folder / "test") if facts["own_test"] else train, facts)


def load_source(home: Path, source: dict[str, Any], context: Context, progress: Progress = lambda _: None) -> Loaded:
    """The scenes as they were given, checked. Raises DatasetError, DoomMissingError."""
    if source["kind"] == "path":
        return load_scenes(Path(source["path"]))
    if source["kind"] == "upload":
        return _upload(home / "sets" / source["key"], Path(source["path"]))
    if source["kind"] == "rooms":
        folder = home / "rooms" / f"{source['scenes']}-{source['size']}"
        train, test = source["scenes"], max(2, source["scenes"] // 4)
        return load_scenes(
            made_once(folder, lambda draft: draw_rooms(draft, train=train, test=test, size=source["size"]))
        )
    return load_scenes(_freedoom(home / "freedoom", source["maps"], source["scenes"], context, progress))


def _upload(folder: Path, archive: Path) -> Loaded:
    if not (folder / "files").is_dir() and not archive.is_file():
        raise SceneDataError("the uploaded file is gone: upload it again")
    try:
        return load_scenes(made_once(folder / "files", lambda draft: unpack(archive, draft)))
    except DatasetError:
        shutil.rmtree(folder, ignore_errors=True)  # nothing in it can be used
        raise


def _freedoom(home: Path, maps: int, scenes: int, context: Context, progress: Progress) -> Path:
    """May be killed and called again: maps that are done are not played again."""
    train, test = split_maps(campaign_maps())
    aside = max(1, min(len(test), round(maps / 8)))
    chosen = [*_spread(train, maps), *_spread(test, aside)]
    folder, done = home / f"{maps}-{scenes}", [0]

    def told(_: object) -> None:
        done[0] += 1
        progress(min(1.0, done[0] / (len(chosen) * scenes)))

    collect_dataset(
        folder,
        chosen,
        Recipe(scenes=scenes),
        progress=told,
        skip=lambda error: context.log(f"{error}; the map is left out.", "warning"),
    )
    return folder


def _spread(items: Sequence[GameMap], count: int) -> list[GameMap]:
    """So many, evenly."""
    return [items[place * len(items) // count] for place in range(min(count, len(items)))]


def _pack(home: Path, source: dict[str, Any], draft: Path, context: Context, progress: Progress) -> None:
    loaded = load_source(home, source, context, lambda share: progress(0.7 * share))
    train, test = (tuple(map(_with_held_out, part)) for part in loaded.train_test(source["test_share"]))
    packing = source["packing"]
    settings = PackSettings(tuple(packing["grid"]), packing["size"], packing["stride"])
    draft.mkdir(parents=True)
    total = len(train) + len(test)
    packed = [pack_scenes(train, settings, draft / "train", lambda done: progress(0.7 + 0.3 * done / total))]
    if test:
        packed.append(pack_scenes(test, settings, draft / "test"))
    facts = _facts(loaded, train, test, packed, source["kind"])
    (draft / "facts.json").write_text(json.dumps(facts))


def _with_held_out(scene: Scene) -> Scene:
    """With some views set aside, where the data sets none aside and there are enough."""
    if scene.held_out or len(scene) < _FEWEST_TO_HOLD_OUT:
        return scene
    every = min(_HELD_OUT_EVERY, len(scene))
    return dataclasses.replace(scene, held_out=tuple(range(every - 1, len(scene), every)))


def _facts(
    loaded: Loaded, train: Sequence[Scene], test: Sequence[Scene], packed: list[PackedScenes], kind: str
) -> dict[str, Any]:
    scenes = [*train, *test]
    counts = [[stop - start for start, stop in pairwise(each.starts)] for each in packed]
    # Training thins the views of all scenes out to the number of the poorest.
    held_out = min(len(views) for each in packed for views in each.held_out)
    shown = min(
        count - len(views)
        for each, views_of in zip(packed, counts, strict=True)
        for count, views in zip(views_of, each.held_out, strict=True)
    )
    first = packed[0]
    voxel = sum(each for part in packed for each in part.voxels) / sum(map(len, packed))
    focal = float(first.arrays["intrinsics"][:, 0, 0].mean())
    metres = _METRES.get(kind)
    return {
        "format": loaded.format if kind in ("path", "upload") else kind,
        "scenes": {"train": len(train), "test": len(test)},
        "pictures": sum(map(sum, counts)),
        "views": shown + held_out,
        "held_out": held_out,
        "own_test": len(packed) > 1,
        "has_depth": all(scene.has_depth for scene in scenes),
        "with_depth": sum(scene.has_depth for scene in scenes),
        "has_maps": all(each.has_maps for each in packed),
        "with_maps": sum(scene.plan is not None for scene in scenes),
        "voxel": voxel * metres if metres else None,
        "tangent": first.settings.size / 2 / focal,
        "fingerprint": "-".join(_fingerprint(each) for each in packed),
        **_report(loaded.report),
    }


def _report(report: Report) -> dict[str, Any]:
    return {
        "report": report.sentences()[:_SENTENCES],
        "problems": {
            "problems": [{"kind": one.kind, "where": one.where, "message": one.message} for one in report.problems],
            "counts": dict(report.counts),
        },
    }


def _fingerprint(packed: PackedScenes) -> str:
    """Of every number that training sees."""
    digest = hashlib.blake2b(digest_size=12)
    for name in sorted(packed.arrays):
        array = packed.arrays[name]
        for start in range(0, len(array), _CHUNK):
            digest.update(array[start : start + _CHUNK].tobytes())
    digest.update(json.dumps([packed.starts, packed.held_out]).encode())
    return digest.hexdigest()
