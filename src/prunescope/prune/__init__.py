"""Pruning: scores, selection by exact rank, masks, the rules of a ladder, and its checkpoints."""

from prunescope.prune.ladder_rules import LadderRules, RungHandover, RungStart
from prunescope.prune.masks import Masks, full, keep_highest, kept_count, stacked, unpacked
from prunescope.prune.scores import SCORES, Probe, prune, score

__all__ = [
    "SCORES",
    "LadderRules",
    "Masks",
    "Probe",
    "RungHandover",
    "RungStart",
    "full",
    "keep_highest",
    "kept_count",
    "prune",
    "score",
    "stacked",
    "unpacked",
]
