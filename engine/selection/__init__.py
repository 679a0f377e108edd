"""Choosing one answer among k samples. docs/coverage.md says what each number means.

engine.selection.reward scores answers with a reward model; it needs torch and is therefore not imported here.
"""

from engine.selection.answers import NO_ANSWER, Answers
from engine.selection.best_of import best_of
from engine.selection.curves import Selection, SelectionCurve, scored_curves, selection_curves
from engine.selection.scores import mean_log_probability, self_certainty
from engine.selection.vote import VoteBars, Votes, majority_votes, vote_bars, weighted_votes

__all__ = [
    "NO_ANSWER",
    "Answers",
    "Selection",
    "SelectionCurve",
    "VoteBars",
    "Votes",
    "best_of",
    "majority_votes",
    "mean_log_probability",
    "scored_curves",
    "selection_curves",
    "self_certainty",
    "vote_bars",
    "weighted_votes",
]
