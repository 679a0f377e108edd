"""One door for every set of scenes: a folder or a zip, GSN's layout, transforms.json or COLMAP's own files."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.detection.data.archive import Limits, unpack
from engine.scenes.data import colmap, gsn, transforms
from engine.scenes.data.types import Report, Scene, SceneDataError

Format = Literal["gsn", "transforms", "colmap"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was found, by split ("train", "test", ...; "" where the data names none), and what was wrong."""

    format: Format
    splits: dict[str, tuple[Scene, ...]]
    report: Report

    @property
    def scenes(self) -> tuple[Scene, ...]:
        return tuple(scene for each in self.splits.values() for scene in each)

    def train_test(self, test_share: float = 0.1, seed: int = 0) -> tuple[tuple[Scene, ...], tuple[Scene, ...]]:
        """The data's own splits if it has them, else a random one by group: scenes of one map stay together.

        Of a single group nothing can be set aside; its held-out views are all there is to test on.
        """
        if self.splits.get("train") and (test := self.splits.get("test") or self.splits.get("val")):
            return self.splits["train"], test
        return split(self.scenes, test_share, seed)


def load_scenes(
    source: Path,
    *,
    unpack_to: Path | None = None,
    axes: Literal["opencv", "opengl"] = "opencv",
    limits: Limits = Limits(),  # noqa: B008
) -> Loaded:
    """Read a set of scenes and check every camera and picture.

    Args:
        source: a folder, or a zip, which is unpacked into the new folder `unpack_to` first.
        axes: of GSN's cameras where the folder does not say.

    Raises:
        SceneDataError: nothing in it can be used; the message holds the first reasons. What is wrong with single
            pictures goes into the report; `report.refuse(kinds)` makes it fatal.
        DatasetError: the archive is refused.
    """
    if source.is_file():
        if unpack_to is None:
            raise SceneDataError(f"{source.name} is a file: a zip is read once it is known where to unpack it")
        source = unpack(source, unpack_to, limits)
    if not source.is_dir():
        raise SceneDataError(f"there is no folder {source}")
    report = Report()
    splits: dict[str, list[Scene]] = {}
    format: Format
    if folders := gsn.find(source):
        format = "gsn"
        for folder in folders:
            inner = folder.relative_to(source)
            if scene := gsn.read(folder, report, _name(inner), axes):
                splits.setdefault(_split_name(inner), []).append(scene)
    elif files := transforms.find(source):
        format = "transforms"
        for file in files:
            inner = file.parent.relative_to(source)
            if scene := transforms.read(file, report, _name(inner)):
                splits.setdefault(_split_name(inner), []).append(scene)
    elif models := colmap.find(source):
        format = "colmap"
        for model in models:
            inner = model.base.relative_to(source)
            name = _name(
                inner if sum(each.base == model.base for each in models) == 1 else model.folder.relative_to(source)
            )
            if scene := colmap.read(model, report, name):
                splits.setdefault(_split_name(inner), []).append(scene)
    else:
        raise SceneDataError(
            f"{source.name} has no cameras: it needs cameras.json in the folder of each scene (GSN's layout), a "
            "transforms.json (nerfstudio, instant-ngp), or COLMAP's cameras and images (.bin or .txt) beside images/."
        )
    if not splits:
        raise SceneDataError("No scene can be used. " + " · ".join(report.sentences()[:3]))
    return Loaded(format, {name: tuple(each) for name, each in splits.items()}, report)


def split(scenes: tuple[Scene, ...], share: float, seed: int = 0) -> tuple[tuple[Scene, ...], tuple[Scene, ...]]:
    """A random (train, test) in which no group is on both sides; the same for a seed.

    Raises:
        SceneDataError: a share outside of (0, 1).
    """
    if not 0 < share < 1:
        raise SceneDataError(f"The share of scenes to set aside must lie between 0 and 1, not {share}.")
    groups = sorted({scene.group or scene.name for scene in scenes})
    random.Random(seed).shuffle(groups)
    test = set(groups[: round(share * len(groups)) or (1 if len(groups) > 1 else 0)])
    if len(test) == len(groups):
        test.pop()
    aside = tuple(scene for scene in scenes if (scene.group or scene.name) in test)
    return tuple(scene for scene in scenes if (scene.group or scene.name) not in test), aside


def _name(inner: Path) -> str:
    return inner.as_posix() if inner.parts else "scene"


def _split_name(inner: Path) -> str:
    first = inner.parts[0].lower() if len(inner.parts) > 1 else ""
    return next((each for each in ("train", "val", "test") if first.startswith(each)), "")
