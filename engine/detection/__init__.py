"""Rotation-invariant detection: labels, augmentation and the Rotation Uncertainty loss of Kalra et al., ICCV 2021.

    train_set, val_set = load_dataset(Path("cells"), unpack_to=None).train_val()
    model = ModelConfig("retinanet", classes=len(train_set.classes), image_size=512, delta=10)
    result = train(model, TrainConfig(rule="ellipse"), train_set, val_set, folder=Path("run"), device="cuda")

See docs/detection.md. Importing this package does not import torch: a web process reads `LabelRule` and
`engine.detection.data` only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from engine.detection.rules import LabelRule

if TYPE_CHECKING:
    from engine.detection.evaluate import AngleResult, Evaluator, Result, evaluate_model
    from engine.detection.export import export_onnx
    from engine.detection.models import Detector, ModelConfig, build_model
    from engine.detection.predict import Detection, detect
    from engine.detection.quality import QualityRow, dataset_quality, label_quality
    from engine.detection.training import train
    from engine.detection.training_types import (
        EpochStats,
        NonFiniteLoss,
        StepStats,
        TrainConfig,
        TrainHooks,
        TrainResult,
    )

_HOMES = {
    "evaluate": ("AngleResult", "Evaluator", "Result", "evaluate_model"),
    "export": ("export_onnx",),
    "models": ("Detector", "ModelConfig", "build_model"),
    "predict": ("Detection", "detect"),
    "quality": ("QualityRow", "dataset_quality", "label_quality"),
    "training": ("train",),
    "training_types": ("EpochStats", "NonFiniteLoss", "StepStats", "TrainConfig", "TrainHooks", "TrainResult"),
}

__all__ = [
    "AngleResult",
    "Detection",
    "Detector",
    "EpochStats",
    "Evaluator",
    "LabelRule",
    "ModelConfig",
    "NonFiniteLoss",
    "QualityRow",
    "Result",
    "StepStats",
    "TrainConfig",
    "TrainHooks",
    "TrainResult",
    "build_model",
    "dataset_quality",
    "detect",
    "evaluate_model",
    "export_onnx",
    "label_quality",
    "train",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"engine.detection.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
