"""Small sets of scenes drawn from geometry: a wall with a pattern, seen from a row of places."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from engine.scenes.cameras import Cameras, intrinsics_of, opengl_of_opencv
from engine.scenes.data.gsn import write_cameras

WIDTH, HEIGHT, FOCAL, DISTANCE = 40, 30, 30.0, 10.0


def row(count: int = 4, step: float = 0.5) -> Cameras:
    """Cameras side by side along x, upright (z up), looking along y at a wall DISTANCE away."""
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3] = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # right = x, down = -z, forward = y
    poses = pose.repeat(count, 1, 1)
    poses[:, 0, 3] = torch.arange(count) * step
    k = intrinsics_of(FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2)
    return Cameras(k.repeat(count, 1, 1), poses, WIDTH, HEIGHT)


def picture(x: float) -> Image.Image:
    """The wall is red to the left of x = 0 and green to the right, as seen from x."""
    u = np.arange(WIDTH) + 0.5
    on_wall = x + (u - WIDTH / 2) / FOCAL * DISTANCE
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    rgb[:, on_wall < 0, 0] = rgb[:, on_wall >= 0, 1] = 200
    return Image.fromarray(rgb)


def write_gsn(folder: Path, count: int = 4, **extra: Any) -> Path:
    folder.mkdir(parents=True)
    cameras = row(count)
    for number in range(count):
        picture(cameras.centres[number, 0].item()).save(folder / f"{number:03}_rgb.png")
        depth = np.full((HEIGHT, WIDTH), round(DISTANCE * 10), np.uint8)
        Image.fromarray(depth).save(folder / f"{number:03}_depth.png")
    write_cameras(folder, cameras, {"depth": {"scale": 0.1, "offset": 0.0}, **extra})
    return folder


def write_transforms(folder: Path, count: int = 4, turn: float = 0.0, **top: Any) -> Path:
    """nerfstudio's file; `turn`: the world is turned about y by so many radians."""
    (folder / "images").mkdir(parents=True)
    spin = torch.tensor(
        [[math.cos(turn), 0, math.sin(turn)], [0, 1, 0], [-math.sin(turn), 0, math.cos(turn)]], dtype=torch.float64
    )
    cameras = row(count).moved(spin, torch.zeros(3, dtype=torch.float64))
    frames = []
    for number in range(count):
        picture(row(count).centres[number, 0].item()).save(folder / "images" / f"frame_{number}.png")
        pose = opengl_of_opencv(cameras.camera_to_world[number]).tolist()
        frames.append({"file_path": f"images/frame_{number}.png", "transform_matrix": pose})
    stored = {
        "fl_x": FOCAL,
        "fl_y": FOCAL,
        "cx": WIDTH / 2,
        "cy": HEIGHT / 2,
        "w": WIDTH,
        "h": HEIGHT,
        "frames": frames,
    }
    stored = {key: value for key, value in {**stored, **top}.items() if value is not None}
    (folder / "transforms.json").write_text(json.dumps(stored))
    return folder


def edit(path: Path, change: Any) -> None:
    stored = json.loads(path.read_text())
    changed = change(stored)
    path.write_text(json.dumps(stored if changed is None else changed))
