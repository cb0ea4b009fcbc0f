"""Pruning: scores, selection by exact rank, masks."""

from prunescope.prune.masks import Masks, full, prune, stacked, unpacked
from prunescope.prune.scores import SCORES, score
from prunescope.prune.select import keep_highest, kept_count

__all__ = ["SCORES", "Masks", "full", "keep_highest", "kept_count", "prune", "score", "stacked", "unpacked"]
