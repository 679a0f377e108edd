"""Where a job's images come from, on the disk of the worker that runs it. No Django.

An upload is unpacked once on each worker; a folder is read where it is; shapes are drawn anew, the same everywhere.
What was read and checked is kept as an index, so that only the first shard on a worker decodes every image.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.detection.data import Dataset, DatasetError, Loaded, Report, load_dataset, render_shapes
from engine.detection.data.archive import unpack
from engine.detection.data.index import read_index, write_index
from jobs.kinds.runner_parts import Hopeless, beating, made_once

if TYPE_CHECKING:
    from jobs.kinds.base import Context

_TRAIN_SEED, _TEST_SEED = 1, 2  # of rendered shapes; the same in every experiment, so that they can be compared


@dataclass(frozen=True, slots=True)
class Data:
    """Images to train on, to choose the best epoch by, and to test with (where a set has no third part, the same)."""

    format: str
    train: Dataset
    val: Dataset
    test: Dataset
    report: Report
    parted: bool = False  # the set has parts of its own, so no share is kept for tests

    @property
    def classes(self) -> tuple[str, ...]:
        return self.train.classes

    @property
    def fingerprint(self) -> str:
        return "-".join(each.fingerprint()[:16] for each in (self.train, self.val, self.test))

    @property
    def has_masks(self) -> bool:
        return self.train.has_masks and self.val.has_masks and self.test.has_masks


def detection_folder(data_dir: Path) -> Path:
    """What detection keeps on a worker's disk."""
    return data_dir / "detection"


def open_data(source: dict[str, Any], data_dir: Path, context: Context) -> Data:
    """The data set a job names (jobs.kinds.detection.jobs makes ``source``), split. Raises Hopeless."""
    home = detection_folder(data_dir)
    try:
        with beating(context):
            if source["kind"] == "shapes":
                return _shapes(home / "shapes", source)
            if source["kind"] == "doom":
                return _doom(home / "doom")
            data = _parts(_loaded(home, source), source["val_share"])
    except DatasetError as error:
        raise Hopeless(str(error)) from None
    if source.get("fingerprint") not in (None, data.fingerprint):
        raise Hopeless("The data set has changed since the experiment began: submit the experiment again.")
    return data


def _loaded(home: Path, source: dict[str, Any]) -> Loaded:
    """Read, or read before. An upload never changes; a folder may, so its index belongs to one experiment."""
    folder = home / "sets" / source["key"] if source["kind"] == "upload" else home / source["experiment"]
    index = folder / "data.json"
    if index.is_file():
        format, splits, report = read_index(index)
        return Loaded(format, splits, report)  # type: ignore[arg-type]
    if source["kind"] == "path":
        loaded = load_dataset(Path(source["path"]), format=source["format"] or None)
    else:
        try:
            loaded = load_dataset(_unpacked(Path(source["path"]), folder), format=source["format"] or None)
        except DatasetError:
            shutil.rmtree(folder, ignore_errors=True)  # nothing in it can be used
            raise
    write_index(index, loaded.format, loaded.splits, loaded.report)
    return loaded


def _unpacked(archive: Path, folder: Path) -> Path:
    if not (folder / "files").is_dir() and not archive.is_file():
        raise DatasetError("the uploaded file is gone: upload it again")
    return made_once(folder / "files", lambda draft: unpack(archive, draft))


def _parts(loaded: Loaded, val_share: float) -> Data:
    train, val = loaded.train_val(val_share, seed=0)
    has_all = {"train", "val", "test"} <= loaded.splits.keys()
    parted = train is loaded.splits.get("train")
    return Data(loaded.format, train, val, loaded.splits["test"] if has_all else val, loaded.report, parted)


def _shapes(home: Path, source: dict[str, Any]) -> Data:
    count, size = source["images"], source["size"]
    train = _rendered(home / f"{count}-{size}-{_TRAIN_SEED}", count, size, _TRAIN_SEED)
    test = _rendered(home / f"{max(4, count // 4)}-{size}-{_TEST_SEED}", max(4, count // 4), size, _TEST_SEED)
    return Data("shapes", train, test, test, Report())


def _doom(folder: Path) -> Data:
    from engine.detection.data.doom import render_doom  # needs vizdoom, which an installation may lack

    def render(draft: Path) -> None:
        train, val = render_doom(draft)
        write_index(draft / "data.json", "coco", {"train": train, "val": val}, Report())

    splits = read_index(made_once(folder, render) / "data.json")[1]
    return Data("vizdoom", splits["train"], splits["val"], splits["val"], Report(), parted=True)


def has_doom() -> bool:
    """Whether this process could draw the built-in ViZDoom set."""
    return find_spec("vizdoom") is not None


def _rendered(folder: Path, count: int, size: int, seed: int) -> Dataset:
    def render(draft: Path) -> None:
        write_index(draft / "data.json", "shapes", {"all": render_shapes(draft, count, size=size, seed=seed)}, Report())

    return read_index(made_once(folder, render) / "data.json")[1]["all"]
