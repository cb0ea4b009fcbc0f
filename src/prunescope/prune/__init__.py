"""Pruning: scores, selection by exact rank, masks."""

from prunescope.prune.masks import Masks, full, keep_highest, kept_count, stacked, unpacked
from prunescope.prune.probe import Probe
from prunescope.prune.scores import SCORES, prune, score

__all__ = [
    "SCORES",
    "Masks",
    "Probe",
    "full",
    "keep_highest",
    "kept_count",
    "prune",
    "score",
    "stacked",
    "unpacked",
]
