"""Pruning: scores, selection by exact rank, masks."""

from prunescope.prune.masks import Masks, full, stacked, unpacked
from prunescope.prune.probe import Probe
from prunescope.prune.scores import SCORES, score
from prunescope.prune.select import keep_highest, kept_count
from prunescope.prune.step import prune

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
