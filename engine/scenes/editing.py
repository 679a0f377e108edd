"""New scenes from given ones: resample a box, vary a scene, join two (paper, section 4; figures 10 and 11).

All work on latents of a `SceneDiffusion`, on the ground plane of c and f, which lie over one another. Rows are Y,
columns X.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.scenes.diffusion.hierarchy import Group, SceneDiffusion, StageSettings
from engine.scenes.diffusion.samplers import Step, sample

Latents = dict[Group, Tensor]
Settings = Mapping[Group, StageSettings] | StageSettings
Heard = Callable[[Group, Step], None]
_DEFAULT = StageSettings()


@dataclass(frozen=True, slots=True)
class Box:
    """A part of the ground plane, as shares of its sides: rows from top to bottom, columns from left to right."""

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        if not (0 <= self.left < self.right <= 1 and 0 <= self.top < self.bottom <= 1):
            raise ValueError("a box lies within 0 and 1, with left < right and top < bottom")

    def mask(self, height: int, width: int, grow: int = 0) -> Tensor:
        """True on the cells the box touches, and ``grow`` more on each side: [height, width]."""
        rows, columns = torch.arange(height), torch.arange(width)
        down = (rows + 1 + grow > self.top * height) & (rows - grow < self.bottom * height)
        across = (columns + 1 + grow > self.left * width) & (columns - grow < self.right * width)
        return down[:, None] & across[None, :]


def inpaint(
    model: SceneDiffusion,
    latents: Latents,
    box: Box,
    *,
    settings: Settings = _DEFAULT,
    maps: Tensor | None = None,
    generator: torch.Generator | None = None,
    on_step: Heard | None = None,
) -> Latents:
    """The scenes with what stands in the box drawn anew; the rest of c and f and all of g stay.

    At every step the known part is put back, noised to the step's level (Lugmayr et al. 2022). f is drawn anew one cell
    of c further than c: its cells there show what c changed.
    """
    found = dict(latents)
    grown: tuple[tuple[Group, int], ...] = (("c", 0), ("f", 1))
    for group, grow in grown:
        if group not in latents:
            continue
        coarse = box.mask(latents["c"].shape[2], latents["c"].shape[3], grow)
        mask = F.interpolate(coarse[None, None].float(), latents[group].shape[2:], mode="nearest")[0, 0] > 0.5
        found[group] = _redraw(model, group, found, mask, 1.0, settings, maps, generator, on_step)
    return found


def vary(
    model: SceneDiffusion,
    latents: Latents,
    strength: float,
    *,
    groups: tuple[Group, ...] = ("c", "f"),
    settings: Settings = _DEFAULT,
    maps: Tensor | None = None,
    generator: torch.Generator | None = None,
    on_step: Heard | None = None,
) -> Latents:
    """Scenes like these: ``groups`` are noised up to the time ``strength`` and drawn from there (Meng et al. 2022).

    Raises:
        ValueError: strength is not above 0 and at most 1.
    """
    if not 0 < strength <= 1:
        raise ValueError(f"strength lies above 0 and at most at 1, got {strength}")
    found = dict(latents)
    for group in groups:
        everywhere = torch.ones(latents[group].shape[2:], dtype=torch.bool)
        found[group] = _redraw(model, group, found, everywhere, strength, settings, maps, generator, on_step)
    return found


def join(
    model: SceneDiffusion,
    left: Latents,
    right: Latents,
    seam: float = 0.25,
    *,
    settings: Settings = _DEFAULT,
    generator: torch.Generator | None = None,
    on_step: Heard | None = None,
) -> Latents:
    """One scene of the right half of ``left`` and then the left half of ``right``, drawn anew around the seam.

    Tiles of scenes joined this way make a larger world: each tile is a join of its neighbours. g is the mean of both.
    """
    halves: Latents = {"g": (left["g"] + right["g"]) / 2} if "g" in left else {}
    planes: tuple[Group, ...] = ("c", "f")
    for group in (each for each in planes if each in left):
        width = left[group].shape[3]
        halves[group] = torch.cat([left[group][..., width // 2 :], right[group][..., : width // 2]], dim=3)
    middle = Box(0.5 - seam / 2, 0.0, 0.5 + seam / 2, 1.0)
    return inpaint(model, halves, middle, settings=settings, generator=generator, on_step=on_step)


def _redraw(
    model: SceneDiffusion,
    group: Group,
    latents: Latents,
    mask: Tensor,
    start: float,
    settings: Settings,
    maps: Tensor | None,
    generator: torch.Generator | None,
    on_step: Heard | None,
) -> Tensor:
    """``group`` where the mask [H, W] is true, drawn from the time ``start``; elsewhere what it was."""
    how = settings if isinstance(settings, StageSettings) else settings.get(group, StageSettings())
    units = {each: model.unit(each, value) for each, value in latents.items()}
    known, mask = units[group], mask.to(latents[group].device)
    start = min(start, model.process.last)

    def noised(t: float) -> Tensor:
        noise = torch.randn(known.shape, generator=generator, device=known.device, dtype=known.dtype)
        return model.process.noised(known, noise, torch.full((len(known),), t, device=known.device))

    def put_back(step: Step) -> Tensor:
        if on_step is not None:
            on_step(group, step)
        return torch.where(mask, step.x, noised(step.t) if step.t else known)

    drawn = sample(
        how.sampler,
        model.denoiser(group, units, maps, how),
        model.process,
        noised(start),
        how.steps,
        start=start,
        generator=generator,
        on_step=put_back,
    )
    return torch.where(mask, model.natural(group, drawn), latents[group])
