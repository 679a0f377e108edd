"""The paper's experiment behind the ellipse: which shape, put in place of an unknown one, gives the best boxes?

Kalra et al. 2021, eqs 9-14. Shapes S_k are drawn at random among those that touch each side of a box once, P. The
expected IoU of a canonical shape S is the mean over angles and draws of IoU(B(R^t(S)), B(R^t(S_k))); gradient ascent
on the points of S finds the best one (eq. 14), and it comes out as the largest inscribed ellipse.

    python -m engine.detection.expected_iou            # 12 s on one core: 0.6026, 0.7289, 0.5485 -> 0.7289
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import ConvexHull
from torch import Tensor

from engine.detection.geometry import iou, rotate_points
from engine.detection.labels import box_of_points, random_quads, rotate_boxes
from engine.detection.rules import LabelRule


@dataclass(frozen=True, slots=True)
class Setting:
    """Size of the experiment; the defaults are the ones of the authors' notebook."""

    aspect: float = 1.0  # width over height of the box
    angles: int = 72  # evenly spaced over the circle, from 0
    shapes: int = 1000  # random shapes, drawn afresh for each angle
    points: int = 360  # of the shape that is optimised
    steps: int = 1000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Expected IoU of the two closed-form rules and of the optimised shape, whose points (P, 2) lie in [-1/2,
    1/2]^2."""

    largest: float
    ellipse: float
    start: float
    optimised: float
    shape: Tensor


class ExpectedIoU:
    """E over angles and random shapes of IoU(label, true box), with the random shapes drawn once."""

    def __init__(self, setting: Setting) -> None:
        generator = torch.Generator().manual_seed(setting.seed)
        self.box = torch.tensor([-setting.aspect / 2, -0.5, setting.aspect / 2, 0.5])
        self.angles = torch.arange(setting.angles) * (2 * math.pi / setting.angles)
        quads = random_quads(self.box.expand(setting.angles, 4), setting.shapes, generator)
        self.truth = box_of_points(rotate_points(quads, self.angles[:, None, None], torch.zeros(2)))

    def of_labels(self, labels: Tensor) -> Tensor:
        """Expected IoU of labels (angles, 4), eq. 12's objective: a scalar with a gradient."""
        return iou(labels[:, None], self.truth).mean()

    def of_rule(self, rule: LabelRule) -> float:
        boxes = self.box.expand(len(self.angles), 4)
        return float(self.of_labels(rotate_boxes(rule, boxes, self.angles, torch.zeros(2))))

    def of_shape(self, points: Tensor) -> Tensor:
        """Expected IoU of a shape (P, 2), stretched so that its box is the given one (S in V_b of eq. 14)."""
        low, high = points.amin(0), points.amax(0)
        inside = self.box[:2] + (points - low) / (high - low) * (self.box[2:] - self.box[:2])
        return self.of_labels(box_of_points(rotate_points(inside, self.angles[:, None], torch.zeros(2))))


def optimise(setting: Setting = Setting()) -> Outcome:
    """Run eq. 14 from a random convex shape. Deterministic for a setting on one machine."""
    objective = ExpectedIoU(setting)
    generator = torch.Generator().manual_seed(setting.seed + 1)
    shape = resample_hull(torch.rand((5, 2), generator=generator), setting.points)
    start = float(objective.of_shape(shape))
    for step in range(0, setting.steps, 30):
        # Only the few points that are extreme at some angle get a gradient, so every 30 steps the convex hull, which
        # has the same boxes, takes the shape's place with its points spread evenly again.
        points = shape.clone().requires_grad_()
        optimiser = torch.optim.Adam([points], lr=0.01 * 0.99 ** (step / 10))
        for _ in range(min(30, setting.steps - step)):
            optimiser.zero_grad()
            (-objective.of_shape(points)).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        shape = resample_hull(points.detach(), setting.points)
    low, high = shape.amin(0), shape.amax(0)
    return Outcome(
        largest=objective.of_rule(LabelRule("largest")),
        ellipse=objective.of_rule(LabelRule("ellipse")),
        start=start,
        optimised=float(objective.of_shape(shape)),
        shape=(shape - low) / (high - low) - 0.5,
    )


def resample_hull(points: Tensor, count: int) -> Tensor:
    """The convex hull of points (P, 2) as `count` points evenly spaced along it, its corners kept approximately."""
    hull = points.numpy()[ConvexHull(points.numpy()).vertices]
    closed = np.concatenate((hull, hull[:1]))
    along = np.concatenate(([0.0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))))
    at = np.linspace(0, along[-1], count, endpoint=False)
    even = np.stack([np.interp(at, along, closed[:, axis]) for axis in (0, 1)], -1)
    return torch.from_numpy(even.astype(np.float32))


if __name__ == "__main__":
    outcome = optimise()
    print(f"largest {outcome.largest:.4f}  ellipse {outcome.ellipse:.4f}", end="  ")
    print(f"shape {outcome.start:.4f} -> {outcome.optimised:.4f}")
