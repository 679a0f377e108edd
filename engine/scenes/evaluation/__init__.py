"""Scores of reconstructions and of generated scenes, each with its reference rows. See docs/scenes.md."""

from engine.scenes.evaluation.consistency import Consistency, reprojection
from engine.scenes.evaluation.features import EffLite0, Inception, features_of
from engine.scenes.evaluation.reports import (
    GenerationReport,
    ReconstructionReport,
    SetScores,
    ViewScores,
    evaluate_generation,
    evaluate_reconstruction,
)

__all__ = [
    "Consistency",
    "EffLite0",
    "GenerationReport",
    "Inception",
    "ReconstructionReport",
    "SetScores",
    "ViewScores",
    "evaluate_generation",
    "evaluate_reconstruction",
    "features_of",
    "reprojection",
]
