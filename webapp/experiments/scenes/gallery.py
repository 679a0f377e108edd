"""The scenes that were drawn: which of them an address asks for, a page of them, and one in full."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from django.db.models import QuerySet
from django.http import QueryDict
from django.utils.http import urlencode

from jobs.kinds.scenes.models import GeneratedScene
from jobs.models import Artifact, Experiment
from webapp.experiments.detection.gallery import whole
from webapp.experiments.page import Page

PAGE = 24  # scenes
ORDERS = {"": "Newest first", "oldest": "Oldest first", "seed": "By seed"}
OPERATIONS = dict(GeneratedScene.Operation.choices)
GROUPS = {"g": "Whole scene (g)", "c": "Coarse (c)", "f": "Fine (f)"}
LATENTS = ("Latents, .safetensors", "latents.safetensors")


@dataclass(frozen=True, slots=True)
class Filters:
    """What is absent or nonsense in an address gets its default: old links show something, never an error."""

    op: str = ""
    order: str = ""
    seed: int | None = None
    page: int = 1
    at: int | None = None  # the number of the scene shown in full

    @classmethod
    def read(cls, query: QueryDict) -> Filters:
        op, order = query.get("op", ""), query.get("order", "")
        return cls(
            op=op if op in OPERATIONS else "",
            order=order if order in ORDERS else "",
            seed=whole(query.get("seed", "")),
            page=max(1, whole(query.get("page", "")) or 1),
            at=whole(query.get("at", "")),
        )

    def url(self, **changes: Any) -> str:
        values = asdict(replace(self, **changes))
        return "?" + urlencode({name: value for name, value in values.items() if value != getattr(_DEFAULT, name)})


_DEFAULT = Filters()


@dataclass(frozen=True, slots=True)
class Item:
    scene: GeneratedScene
    poster_url: str  # empty while it is not drawn
    url: str

    @property
    def is_drawn(self) -> bool:
        return self.scene.state == GeneratedScene.State.DRAWN


def gallery(page: Page, filters: Filters) -> dict[str, Any]:
    """A page of scenes, and the one that is shown in full."""
    found = matching(page.experiment, filters)
    count = found.count()
    pages = max(1, -(-count // PAGE))
    number = min(filters.page, pages)
    start = (number - 1) * PAGE
    rows = list(found[start : start + PAGE])
    return {
        "items": items(page, rows, filters),
        "count": count,
        "pages": pages,
        "page_number": number,
        "earlier_url": filters.url(page=number - 1, at=None) if number > 1 else "",
        "next_url": filters.url(page=number + 1, at=None) if number < pages else "",
        "shown": shown(page, filters, rows),
    }


def matching(experiment: Experiment, filters: Filters) -> QuerySet[GeneratedScene]:
    found = GeneratedScene.objects.filter(experiment=experiment)
    if filters.op:
        found = found.filter(operation=filters.op)
    if filters.seed is not None:
        found = found.filter(seed=filters.seed)
    order = {"oldest": ("number",), "seed": ("seed", "number")}.get(filters.order, ("-number",))
    return found.select_related("parent").order_by(*order)


def items(page: Page, rows: list[GeneratedScene], filters: Filters = _DEFAULT) -> list[Item]:
    return [Item(row, poster_url(page, row), filters.url(at=row.number)) for row in rows]


def poster_url(page: Page, scene: GeneratedScene) -> str:
    if scene.state != GeneratedScene.State.DRAWN:
        return ""
    return page.url("picture", part="poster", key=str(scene.number))


def shown(page: Page, filters: Filters, rows: list[GeneratedScene]) -> dict[str, Any] | None:
    """The scene in full with its neighbours in the list; None where the address names none that is there."""
    if filters.at is None:
        return None
    asked = GeneratedScene.objects.filter(experiment=page.experiment, number=filters.at)
    scene = asked.select_related("parent", "other").first()
    if scene is None:
        return None
    numbers = [row.number for row in rows]
    here = numbers.index(scene.number) if scene.number in numbers else None
    before = numbers[here - 1] if here else None
    after = numbers[here + 1] if here is not None and here + 1 < len(numbers) else None
    return {
        **in_full(page, scene),
        "share_scope": json.dumps({"experiment": str(page.experiment.code), "scene": scene.number}),
        "previous_url": filters.url(at=before) if before is not None else "",
        "following_url": filters.url(at=after) if after is not None else "",
        "close_url": filters.url(at=None),
    }


def in_full(page: Page, scene: GeneratedScene) -> dict[str, Any]:
    """What the viewer's panel shows of one scene."""
    listed = downloads(scene, artifacts_of(scene), lambda file: page.url("artifact", artifact=file.code))
    made = {each["name"] for each in scene.values.get("downloads", [])}
    children = GeneratedScene.objects.filter(parent=scene).order_by("number").values_list("number", flat=True)
    return {
        "scene": scene,
        "manifest_url": page.url("item", part="scene", key=str(scene.number)),
        "poster_url": poster_url(page, scene),
        "facts": facts(scene),
        "groups": groups(scene),
        "downloads": listed,
        "files": sum(each["name"] in made for each in listed),  # of those that come after the scene
        "children": list(children[:PAGE]),
    }


def groups(scene: GeneratedScene) -> list[tuple[str, Mapping[str, Any]]]:
    """How each group of latents was drawn."""
    told = scene.settings.items()
    return [(GROUPS.get(name, name), how) for name, how in told if isinstance(how, Mapping) and "steps" in how]


def facts(scene: GeneratedScene) -> list[tuple[str, str]]:
    """How it was drawn, in words."""
    settings, values = scene.settings, scene.values
    rows = [("Made by", scene.get_operation_display()), ("Seed", str(scene.seed))]
    if strength := settings.get("strength"):
        rows.append(("Strength", f"{strength:g}"))
    if box := settings.get("box"):
        rows.append(
            (
                "Box",
                f"{box['left']:.0%} to {box['right']:.0%} across, {box['top']:.0%} to {box['bottom']:.0%} down",
            )
        )
    if grid := values.get("grid"):
        z, y, x = grid
        rows.append(("Voxels", f"{x} × {y} × {z}"))
    if seconds := values.get("seconds"):
        rows.append(("Drawn in", f"{seconds:.1f} s"))
    if scene.map_file:
        rows.append(("Map from above", "drawn"))
    return rows


def files_of(scene: GeneratedScene) -> list[tuple[str, str]]:
    """What can be taken away: labels and artifacts' names. Workers make most of it after the scene is on the page."""
    made = [(str(each["label"]), str(each["name"])) for each in scene.values.get("downloads", [])]
    label, name = LATENTS
    return [*made, (label, f"{scene.folder}/{name}")]


def artifacts_of(scene: GeneratedScene) -> QuerySet[Artifact]:
    """All of its files that are there, previews too."""
    return Artifact.objects.filter(experiment=scene.experiment, name__startswith=f"{scene.folder}/").order_by("name")


def downloads(
    scene: GeneratedScene, files: Iterable[Artifact], address: Callable[[Artifact], str]
) -> list[dict[str, Any]]:
    """What can be taken away of the scene's ``files``."""
    found = {each.name: each for each in files}
    return [
        {"label": label, "name": name, "size": found[name].size, "url": address(found[name])}
        for label, name in files_of(scene)
        if name in found
    ]
