"""Draws scenes: those that are planned, and those that somebody asks for. No Django.

Models stay loaded between shards, so that a scene asked for on a warm worker is there in seconds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.detection.data.images import ImageError, read_image
from engine.scenes import editing
from engine.scenes.data.maps import map_of_picture, save_map
from engine.scenes.diffusion.hierarchy import GROUPS, Group, StageSettings
from engine.scenes.distil import improve_scene
from engine.scenes.exports import write_downloads
from engine.scenes.optimise import FieldSettings, NonFiniteField
from engine.scenes.preview import Forming, Preview
from engine.scenes.rig import Rig
from engine.scenes.stages import decode_scene
from engine.scenes.style import style_by_image
from engine.scenes.volume import make_manifest, render_rig, save_poster, scene_volume, sky_colour, write_volume
from jobs.kinds.accelerators import device_here, peak_memory
from jobs.kinds.runner_parts import Hopeless, beating
from jobs.kinds.scenes.data import open_data
from jobs.kinds.scenes.models_here import load_models
from jobs.kinds.scenes.prior import prior_of

if TYPE_CHECKING:
    from jobs.kinds.base import Context

_PREVIEWS = 6  # of a scene, about
_FIELD_STEPS = {"cuda": 200, "cpu": 30}
_POSTER = 512  # pixels
_FLIGHT_SECONDS = 8.0
_TYPES = {
    ".glb": "model/gltf-binary",
    ".ply": "application/octet-stream",
    ".npz": "application/octet-stream",
    ".json": "application/json",
    ".mp4": "video/mp4",
    ".gif": "image/gif",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".gz": "application/gzip",
    ".safetensors": "application/octet-stream",
}


@dataclass(frozen=True, slots=True)
class Studio:
    """The three models, ready."""

    autoencoder: Any
    latents: Any
    diffusion: Any
    device: str

    @property
    def grid(self) -> tuple[int, int, int]:
        grid: tuple[int, int, int] = self.autoencoder.config.grid
        return grid


_warm: dict[str, Studio] = {}  # by what was loaded; one at a time


def studio(job: dict[str, Any]) -> Studio:
    """The job's models, loaded anew only when they are others than last time."""
    stamps = [
        [each["weights"], Path(each["weights"]).stat().st_mtime_ns, each["model"]] for each in job["models"].values()
    ]
    name = repr([stamps, job["cameras"]])
    if name not in _warm:
        _warm.clear()
        device = device_here()
        _warm[name] = Studio(**load_models(job["models"], job["cameras"], device), device=device)
    return _warm[name]


def draw_scenes(job: dict[str, Any], context: Context) -> None:
    """Draw what is missing, one after the other."""
    done = job["done"]
    context.progress(done)
    with beating(context):
        ready = studio(job)
        maps = open_data(job["data"], context.data_dir, context).test.arrays["maps"] if job["data"] else None
    for scene in job["scenes"]:
        if context.cancelled:
            return
        given = None if maps is None else torch.tensor(maps[(scene["number"] - 1) % len(maps)]).float()[None]
        try:
            _Drawing(job, scene, ready, context, given).run()
        except (ImageError, NonFiniteField) as error:
            raise Hopeless(f"Scene {scene['number']}: {error}.") from None
        done += 1
        context.progress(done)


class _Drawing:
    """One scene."""

    def __init__(
        self, job: dict[str, Any], scene: dict[str, Any], ready: Studio, context: Context, maps: Tensor | None
    ) -> None:
        self._job, self._scene, self._ready, self._context = job, scene, ready, context
        self._folder = Path(job["folder"]) / scene["folder"]
        self._folder.mkdir(parents=True, exist_ok=True)
        self._number = scene["number"]
        self._previews = 0
        if scene["map"] is not None:
            maps = map_of_picture(Path(scene["map"]), ready.grid)[None]
        self._maps = None if maps is None else maps.to(ready.device)
        if self._maps is not None and ready.diffusion.map is None:
            raise Hopeless("This model was trained without maps from above: draw without one.")

    def run(self) -> None:
        begun = time.monotonic()
        self._context.row({"is": "drawing", "number": self._number})
        if self._maps is not None:
            save_map(self._folder / "map.png", self._maps[0].cpu())
            self._keep(self._folder / "map.png")
        with beating(self._context), torch.no_grad():
            drawn = self._draw()
            fields, trajectories = decode_scene(self._ready.latents, drawn)
            rig = self._rig(trajectories).to(self._ready.device)
            field = self._finished(fields[0], rig)
            values = self._leave(drawn, field, rig, begun)
            self._leave_downloads(field, rig, values)

    # --- drawing

    def _draw(self) -> dict[Group, Tensor]:
        scene, ready = self._scene, self._ready
        chance = torch.Generator(ready.device).manual_seed(scene["seed"])
        settings = _settings(scene["settings"])
        parent = self._latents(scene["parent"])
        hear = self._preview(settings, parent or {})
        common: dict[str, Any] = {"settings": settings, "generator": chance, "on_step": hear}
        match scene["operation"]:
            case "new":
                return ready.diffusion.generate(1, maps=self._maps, **common)  # type: ignore[no-any-return]
            case "inpaint":
                box = editing.Box(**scene["settings"]["box"])
                return editing.inpaint(ready.diffusion, _needed(parent), box, maps=self._maps, **common)
            case "vary":
                groups = tuple(scene["settings"]["groups"])
                strength = scene["settings"]["strength"]
                return editing.vary(
                    ready.diffusion, _needed(parent), strength, groups=groups, maps=self._maps, **common
                )
            case "join":
                other = _needed(self._latents(scene["other"]))
                return editing.join(ready.diffusion, _needed(parent), other, scene["settings"]["seam"], **common)
            case "style" | "improve":  # of the field alone: latents stay those of the scene it was made from
                return _needed(parent)
        raise Hopeless(f"This worker cannot do the operation {scene['operation']!r}.")

    def _finished(self, field: Tensor, rig: Rig) -> Tensor:
        """The field after what is done to voxels and not to latents."""
        operation = self._scene["operation"]
        if operation not in ("style", "improve"):
            return field
        settings = FieldSettings(
            steps=_FIELD_STEPS[self._ready.device], cells=self._job["cells"], seed=self._scene["seed"]
        )
        autoencoder = self._ready.autoencoder
        with torch.enable_grad():
            if operation == "style":
                image = torch.from_numpy(read_image(Path(self._scene["image"]))).movedim(-1, 0).float() / 255
                return style_by_image(autoencoder, field, rig, image, settings=settings).detach()
            prior = prior_of(self._job["prior"], self._pictures, self._ready.device, self._context)
            return field if prior is None else improve_scene(autoencoder, field, rig, prior, settings=settings).detach()

    def _pictures(self, latents: str) -> Tensor:
        """What a drawn scene looks like along its trajectory, [K, 3, h, w] uint8."""
        with torch.no_grad():
            fields, trajectories = decode_scene(self._ready.latents, _needed(self._latents(latents)))
            rig = self._rig(trajectories).to(self._ready.device)
            pixels = render_rig(self._ready.autoencoder, fields[0], rig, cells=self._job["cells"])
        return torch.from_numpy(pixels).movedim(-1, 1)

    def _latents(self, path: str | None) -> dict[Group, Tensor] | None:
        if path is None:
            return None
        if not Path(path).exists():
            raise Hopeless("The scene to start from has no latents any more: choose another.")
        stored = load_file(path, device=self._ready.device)
        return {group: stored[group] for group in GROUPS if group in stored}

    def _preview(self, settings: Mapping[Group, StageSettings], given: Mapping[Group, Tensor]) -> Preview:
        shown = [how.steps for group, how in settings.items() if group != "g"]
        every = max(1, -(-sum(shown) // _PREVIEWS))
        return Preview(self._ready.diffusion, self._ready.latents, self._show, every=every, given=given)

    def _show(self, forming: Forming) -> None:
        """A volume of the scene as it forms."""
        volume = scene_volume(self._ready.autoencoder, forming.fields[0], self._rig(forming.trajectories))
        path = self._folder / f"step-{self._previews:02d}.rgba.gz"
        self._previews += 1
        write_volume(path, volume)
        name = self._keep(path)
        self._context.row({"is": "preview", "number": self._number, "label": forming.label, "name": name})

    def _rig(self, trajectories: Tensor) -> Rig:
        tangent = self._job["tangent"]
        if trajectories.shape[1]:
            return Rig.of_trajectory(trajectories[0], self._ready.grid, tangent)
        return Rig.around(self._ready.grid, tangent)

    # --- files

    def _leave(self, drawn: Mapping[Group, Tensor], field: Tensor, rig: Rig, begun: float) -> dict[str, Any]:
        ready, folder, metres = self._ready, self._folder, self._job["voxel_metres"]
        write_volume(folder / "volume.rgba.gz", scene_volume(ready.autoencoder, field, rig))
        poster = render_rig(ready.autoencoder, field, rig[:1], cells=self._job["cells"])[0]
        save_poster(folder / "poster.jpg", poster, side=max(_POSTER, poster.shape[0]))
        latents = {group: value.detach().cpu().contiguous() for group, value in drawn.items()}
        save_file({str(group): value for group, value in latents.items()}, folder / "latents.safetensors")
        for name in ("volume.rgba.gz", "poster.jpg", "latents.safetensors"):
            self._keep(folder / name)
        manifest = make_manifest(
            "", ready.grid, rig, sky=sky_colour(ready.autoencoder), voxel_metres=metres, seconds=_FLIGHT_SECONDS
        )
        shown = ("grid", "voxel_metres", "sky", "cameras", "path")
        values = {
            **{name: manifest[name] for name in shown},
            "seconds": round(time.monotonic() - begun, 2),
            "memory": peak_memory(),
            "downloads": [],
            "complete": False,  # until its downloads are there: an attempt that dies before that draws it once more
        }
        self._context.row({"is": "drawn", "number": self._number, "values": values})
        return values

    def _leave_downloads(self, field: Tensor, rig: Rig, values: dict[str, Any]) -> None:
        """The files to take away, after the scene is on the page."""
        made = []
        for each in write_downloads(
            self._folder,
            self._ready.autoencoder,
            field,
            rig,
            cells=self._job["cells"],
            voxel_metres=self._job["voxel_metres"],
            seconds=_FLIGHT_SECONDS,
            panorama_height=min(512, 4 * self._job["cells"] * self._ready.autoencoder.config.stride),
        ):
            made.append({"label": each.label, "name": self._keep(each.path)})
        self._context.row(
            {"is": "drawn", "number": self._number, "values": {**values, "downloads": made, "complete": True}}
        )

    def _keep(self, path: Path) -> str:
        name = f"{self._scene['folder']}/{path.name}"
        self._context.artifact(path, name, _TYPES.get(path.suffix, "application/octet-stream"))
        return name


def _settings(stored: Mapping[str, Any]) -> dict[Group, StageSettings]:
    return {
        group: StageSettings(**stored[group]) for group in GROUPS if group in stored and isinstance(stored[group], dict)
    }


def _needed(latents: dict[Group, Tensor] | None) -> dict[Group, Tensor]:
    if latents is None:
        raise Hopeless("The scene to start from was deleted: choose another.")
    return latents
