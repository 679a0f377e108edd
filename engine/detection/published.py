"""The numbers of Kalra et al. (ICCV 2021, arXiv 2109.13488) that others are held against: COCO val2017, RetinaNet.

Average precisions in percent at test rotations of 0, 10, 20 and 30 degrees. Table 2 gives AP for all methods, fig. 9
gives AP50 and AP75 for four of them.
"""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = "Kalra et al. 2021, COCO val2017, RetinaNet"
ANGLES = (0.0, 10.0, 20.0, 30.0)  # degrees
Row = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Published:
    """One method of the paper; ``rule`` and ``delta`` as engine.detection writes them."""

    rule: str
    delta: float | None  # degrees; None without the RU loss
    ap: Row
    ap50: Row | None = None
    ap75: Row | None = None


PUBLISHED = (
    Published(
        "none",
        None,
        (39.26, 37.54, 33.68, 29.19),
        (59.68, 56.88, 51.35, 45.37),
        (41.69, 40.14, 35.63, 30.39),
    ),
    Published(
        "largest",
        None,
        (35.20, 28.37, 22.34, 18.47),
        (58.79, 56.31, 51.49, 46.30),
        (36.00, 25.37, 14.95, 10.91),
    ),
    Published("random", None, (37.39, 35.59, 32.22, 28.33)),
    Published("octagon:0.1", None, (35.82, 31.64, 27.16, 23.54)),
    Published("octagon:0.2", None, (36.52, 34.57, 31.65, 28.15)),
    Published("octagon:0.5", None, (38.36, 35.39, 28.76, 22.92)),
    Published("rotiou", None, (38.32, 36.48, 32.68, 28.94)),
    Published("ellipse", None, (38.21, 36.83, 33.59, 29.95)),
    Published("ellipse", 45.0, (38.54, 37.45, 34.56, 31.26)),
    Published("ellipse", 30.0, (39.09, 37.99, 35.45, 32.25)),
    Published("ellipse", 15.0, (39.14, 38.19, 35.78, 32.50)),
    Published(
        "ellipse",
        10.0,
        (39.33, 38.31, 36.00, 32.72),
        (60.08, 58.66, 55.73, 51.60),
        (41.74, 40.71, 38.05, 33.97),
    ),
    Published(
        "perfect",
        None,
        (39.66, 39.17, 37.24, 34.08),
        (60.28, 58.89, 55.91, 51.83),
        (42.05, 41.73, 39.61, 36.02),
    ),
)
