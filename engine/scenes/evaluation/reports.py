"""How good reconstructions and generated scenes are, always beside what the numbers would be for real pictures.

    report = evaluate_reconstruction(autoencoder, test.tensors(cameras=8), latents=latents)
    report = evaluate_generation(autoencoder, drawn, test.tensors(cameras=8))

Plain data comes out: dataclasses.asdict(report) is JSON, but for NaN where a number does not exist.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.scenes.autoencoder import Rendered, SceneAutoencoder, Views
from engine.scenes.evaluation.consistency import Consistency, reprojection, together
from engine.scenes.evaluation.features import EffLite0, FeatureNet, Inception, features_of
from engine.scenes.latents import LatentAutoencoder
from engine.scenes.metrics import depth_error, frechet, kid, psnr, ssim
from engine.scenes.perceptual import FeatureDistance, ShiftTolerantLpips, find_stlpips
from engine.scenes.rig import Rig
from engine.scenes.stages import SceneTensors, bounded, unbounded
from engine.scenes.volume import render_views

_BEST_PSNR = 100.0  # dB, of equal pictures, whose PSNR is infinite
_SUBSETS, _SUBSET = 20, 1000  # of KID (Binkowski et al. 2018)


@dataclass(frozen=True, slots=True)
class ViewScores:
    """Means over the held-out views. `perceptual`: see `FeatureDistance`; `st_lpips`: None without its package;
    `depth`: abs rel where it is known and within reach, 1 where nothing is shown; NaN if it is known nowhere."""

    name: str
    psnr: float  # dB
    ssim: float
    perceptual: float
    st_lpips: float | None
    depth: float


@dataclass(frozen=True, slots=True)
class ReconstructionReport:
    """`rows`: "nearest picture" (the given one whose camera is most alike, shown as if it were the answer: what the
    others must beat), "auto-encoder", and "auto-encoder and latents" where those were given."""

    scenes: int
    views: int  # held out, of each scene
    given: int  # encoded, of each scene
    rows: tuple[ViewScores, ...]
    consistency: Consistency  # of the auto-encoder's pictures of the held-out views, in order
    psnr_of_scene: tuple[float, ...]  # of the auto-encoder


@dataclass(frozen=True, slots=True)
class SetScores:
    """A set of pictures against the real ones. `kid_spread` is the spread over 20 random halves; `fid` None without
    Inception's weights."""

    name: str
    images: int
    kid: float
    kid_spread: float
    fd: float
    fid: float | None


@dataclass(frozen=True, slots=True)
class GenerationReport:
    """`rows`: "real against real" (what a perfect model gets), "auto-encoder" (what its pictures of real scenes get:
    the diffusion model can hardly do better) and "generated". All compare as many pictures with the same real ones,
    since FD falls with their number."""

    kid_name: str  # "KID-EffLite0"
    fd_name: str
    real: int  # pictures that the rows are compared with
    scenes: int  # generated
    rows: tuple[SetScores, ...]
    consistency: Consistency  # of the generated trajectories


@torch.no_grad()
def evaluate_reconstruction(
    autoencoder: SceneAutoencoder,
    scenes: SceneTensors,
    *,
    latents: LatentAutoencoder | None = None,
    given: int = 16,
    most_views: int = 8,
    perceptual: nn.Module | None = None,
    stlpips: Path | None = None,
) -> ReconstructionReport:
    """Encode each scene from ``given`` views, render held-out ones, and compare.

    Where no views are held out, those that were not given are. ``perceptual`` defaults to `FeatureDistance`;
    ``stlpips`` to the weights of the installed package, if there is one.

    Raises:
        ValueError: no scenes, or every view is given.
    """
    device = scenes.images.device
    which = scenes.given(given)
    asked = _asked(scenes, which.tolist(), most_views)
    look = (FeatureDistance() if perceptual is None else perceptual).to(device)
    path = stlpips or find_stlpips()
    lpips = ShiftTolerantLpips(path).to(device) if path else None
    names = ["nearest picture", "auto-encoder", *(["auto-encoder and latents"] if latents else [])]
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    consistent: list[Consistency] = []
    for number in range(len(scenes)):
        here = torch.tensor([number], device=device)
        known, wanted = scenes.views(here, which[None]), scenes.views(here, torch.tensor([asked], device=device))
        field = autoencoder.eval().encode(known.images, known.rays)
        seen = {"auto-encoder": autoencoder.render(field, wanted.rays), "nearest picture": _nearest(known, wanted)}
        if latents is not None:
            again = unbounded(latents.eval().decode(latents.encode(bounded(field)).latents))
            seen["auto-encoder and latents"] = autoencoder.render(again, wanted.rays)
        for name in names:
            found[name].append(_view_scores(seen[name], wanted, autoencoder.config.far, look, lpips))
        consistent.append(_along(autoencoder, field[0], _rig_of(wanted), scenes.depths.shape[-1])[1])
    rows = tuple(_row(name, torch.stack(parts), lpips is not None) for name, parts in found.items())
    return ReconstructionReport(
        len(scenes),
        len(asked),
        len(which),
        rows,
        together(consistent),
        tuple(float(part[0]) for part in found["auto-encoder"]),
    )


@torch.no_grad()
def evaluate_generation(
    autoencoder: SceneAutoencoder,
    generated: Iterable[tuple[Tensor, Rig]],
    scenes: SceneTensors,
    *,
    given: int = 16,
    frames: int = 8,
    features: FeatureNet | None = None,
    inception: Path | None = None,
    seed: int = 0,
) -> GenerationReport:
    """Pictures along the trajectories of generated scenes against those of real ones.

    Args:
        generated: fields [Z, Y, X, 1 + C] with their cameras.
        scenes: real ones, at least two. Half of them are what all are compared with; the others, and their
            reconstructions, are the reference rows.
        frames: of each scene.
        features: what tells pictures apart, `EffLite0` unless told.
        inception: TorchScript with FID's own weights, see `engine.scenes.evaluation.features.Inception`.

    Raises:
        ValueError: fewer than two real scenes, or nothing was generated.
        WeightsError: `inception` is something else.
    """
    if len(scenes) < 2:
        raise ValueError("real pictures are compared with real ones of other scenes: at least two scenes are needed")
    device, cells = scenes.images.device, scenes.depths.shape[-1]
    network: FeatureNet = EffLite0().to(device) if features is None else features
    foreign = Inception(inception, device) if inception else None
    order = torch.randperm(len(scenes), generator=torch.Generator().manual_seed(seed)).tolist()
    reference, others = order[: (len(order) + 1) // 2], order[(len(order) + 1) // 2 :]
    consistent: list[Consistency] = []

    def drawn() -> Iterator[Tensor]:
        for field, rig in generated:
            chosen = rig[_spread(len(rig), frames)].to(device)
            image, agreement = _along(autoencoder.eval(), field.to(device), chosen, cells)
            consistent.append(agreement)
            yield image

    sets: dict[str, list[Tensor]] = {
        "real": list(_real(scenes, reference, frames)),
        "real against real": list(_real(scenes, others, frames)),
        "auto-encoder": list(_reconstructed(autoencoder, scenes, others, frames, given)),
        "generated": list(drawn()),
    }
    if not sets["generated"]:
        raise ValueError("no scene was generated, so there is nothing to evaluate")
    count = min(sum(map(len, sets[name])) for name in sets if name != "real")
    if count < 2:
        raise ValueError("a set of a single picture has no distance; use more frames of each scene")
    ours = {name: features_of(network, parts) for name, parts in sets.items()}
    theirs = {name: features_of(foreign, parts) for name, parts in sets.items()} if foreign else None
    kept = {name: _spread(len(ours[name]), count) for name in sets if name != "real"}
    rows = tuple(
        _set_scores(
            name,
            ours[name][which],
            ours["real"],
            frechet(theirs[name][which], theirs["real"]) if theirs else None,
            seed,
        )
        for name, which in kept.items()
    )
    return GenerationReport(
        f"KID-{network.name}", f"FD-{network.name}", len(ours["real"]), len(consistent), rows, together(consistent)
    )


def _asked(scenes: SceneTensors, given: Sequence[int], most: int) -> list[int]:
    if len(scenes) == 0:
        raise ValueError("there are no scenes to evaluate")
    left = list(scenes.held_out) or [view for view in range(scenes.images.shape[1]) if view not in set(given)]
    if not left:
        raise ValueError("every view is given and none is left to compare with; give fewer")
    return [left[place] for place in _spread(len(left), most)]


def _spread(count: int, most: int) -> list[int]:
    return torch.linspace(0, count - 1, min(count, most)).round().long().tolist()


def _along(autoencoder: SceneAutoencoder, field: Tensor, rig: Rig, cells: int) -> tuple[Tensor, Consistency]:
    """Pictures [K, 3, h, w] of a field [Z, Y, X, 1 + C], and how they agree."""
    parts = [seen for _, seen in render_views(autoencoder, field, rig, cells=cells)]
    image, depth, total = (torch.cat(each) for each in zip(*parts, strict=True))
    return image.float(), reprojection(image.float(), depth, total, rig)


def _nearest(known: Views, wanted: Views) -> Rendered:
    """For each wanted view the given one whose camera is most alike: rays [.., 3] through the middle, and origins."""
    there, here = _rig_of(known), _rig_of(wanted)
    apart = torch.cdist(here.origins, there.origins) / 8 + torch.cdist(here.forward, there.forward)  # 8 voxels a radian
    which = apart.argmin(1)
    return Rendered(known.images[:, which], known.depths[:, which], known.valid[:, which].float())


def _rig_of(views: Views) -> Rig:
    """The cameras of views of one scene, from their rays: square pictures whose middle is the optical axis."""
    first = views.rays.directions[0]
    right, down = (F.normalize(first[:, a, b] - first[:, 0, 0], dim=-1) for a, b in ((0, -1), (-1, 0)))
    cells = first.shape[1]
    across = (first[:, 0, -1] - first[:, 0, 0]).norm(dim=-1).mean() / (cells - 1) * cells / 2
    forward = torch.linalg.cross(right, down)
    return Rig(views.rays.origins[0, :, 0, 0], right, down, forward, float(across))


def _view_scores(seen: Rendered, wanted: Views, far: float, look: nn.Module, lpips: nn.Module | None) -> Tensor:
    """Means over the views of one scene: PSNR, SSIM, perceptual, ST-LPIPS (NaN without), depth."""
    image, truth = seen.image[0].float(), wanted.pictures_for(seen.image.float())[0]
    valid = wanted.valid & (wanted.depths > 0) & (wanted.depths < far)
    return torch.stack(
        [
            psnr(image, truth).clamp(max=_BEST_PSNR).mean(),
            ssim(image, truth).mean(),
            look(image, truth).mean(),
            lpips(image, truth).mean() if lpips is not None else truth.new_tensor(math.nan),
            depth_error(seen.depth, wanted.depths, valid),
        ]
    ).cpu()


def _row(name: str, scores: Tensor, has_lpips: bool) -> ViewScores:
    peak, similarity, look, lpips = scores[:, :4].mean(0).tolist()
    return ViewScores(name, peak, similarity, look, lpips if has_lpips else None, float(scores[:, 4].nanmean()))


def _real(scenes: SceneTensors, which: Sequence[int], frames: int) -> Iterator[Tensor]:
    views = _spread(scenes.images.shape[1], frames)
    for number in which:
        yield scenes.images[number, views].float() / 255


def _reconstructed(
    autoencoder: SceneAutoencoder, scenes: SceneTensors, which: Sequence[int], frames: int, given: int
) -> Iterator[Tensor]:
    device = scenes.images.device
    views = torch.tensor([_spread(scenes.images.shape[1], frames)], device=device)
    for number in which:
        here = torch.tensor([number], device=device)
        known = scenes.views(here, scenes.given(given)[None])
        field = autoencoder.eval().encode(known.images, known.rays)
        yield autoencoder.render(field, scenes.views(here, views).rays).image[0].float()


def _set_scores(name: str, found: Tensor, real: Tensor, fid: Tensor | None, seed: int) -> SetScores:
    generator = torch.Generator().manual_seed(seed)
    sizes = min(len(found) // 2, _SUBSET), min(len(real) // 2, _SUBSET)
    spread = math.nan
    if min(sizes) >= 2:
        parts = [
            kid(
                *(
                    each[torch.randperm(len(each), generator=generator)[:size]]
                    for each, size in zip((found, real), sizes, strict=True)
                )
            )
            for _ in range(_SUBSETS)
        ]
        spread = float(torch.stack(parts).std())
    return SetScores(
        name,
        len(found),
        float(kid(found, real)),
        spread,
        float(frechet(found, real)),
        None if fid is None else float(fid),
    )
