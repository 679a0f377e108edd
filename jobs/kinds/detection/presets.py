"""Starting points for the form. A preset fills fields of DetectionSpec; what it leaves out keeps its default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobs.kinds.detection.spec import SHAPES


@dataclass(frozen=True, slots=True)
class Preset:
    name: str
    title: str
    help: str
    icon: str
    values: dict[str, Any]


# AdamW on a small network and a few hundred steps: a higher rate, a shorter warm-up and a shorter average.
_SMALL: dict[str, Any] = {
    "backbone": "tiny",
    "pretrained": False,
    "image_size": 96,
    "finest_stride": 4,
    "learning_rate": 3e-3,
    "warmup": 50,
    "ema": 0.99,
    "batch": 8,
}

PRESETS = (
    Preset(
        "tiny",
        "Tiny, on a CPU",
        "Rendered shapes and a tiny network: three methods in minutes on two CPU cores.",
        "bolt",
        {
            **_SMALL,
            "data": SHAPES,
            "shapes": 120,
            "rules": ["largest", "ellipse", "perfect"],
            "architectures": ["fcos"],
            "epochs": 6,
            "angles": [0.0, 10.0, 20.0, 30.0],
        },
    ),
    Preset(
        "nuclei",
        "Cells and other small things",
        "Many small objects in an image: fine features, up to 300 detections, three seeds.",
        "star",
        {
            "rules": ["none", "largest", "ellipse", "ellipse+ru", "perfect"],
            "architectures": ["retinanet", "faster_rcnn"],
            "seeds": 3,
            "image_size": 512,
            "finest_stride": 4,
            "max_detections": 300,
            "epochs": 40,
        },
    ),
    Preset(
        "paper",
        "As published: COCO",
        "Kalra et al. 2021, table 2: RetinaNet, sigma 15°, delta 10, 15, 30 and 45, tests at 0 to 30 degrees.",
        "file",
        {
            "rules": [
                "none", "largest", "random", "octagon:0.1", "octagon:0.2", "octagon:0.5", "rotiou", "ellipse",
                "ellipse+ru", "perfect",
            ],
            "deltas": [10.0, 15.0, 30.0, 45.0],
            "architectures": ["retinanet"],
            "sigma": 15.0,
            "angles": [0.0, 10.0, 20.0, 30.0],
        },
    ),
)  # fmt: skip
