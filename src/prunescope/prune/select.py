"""Which weights survive: exactly the number wanted, by rank of their scores, ties by position.

Counts come from the dense network, ``round(N (1 - f)^level)``, so that no rounding adds up along a ladder.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import PrunescopeError

Flags = NDArray[np.bool_]
Scores = NDArray[np.floating]


def kept_count(prunable: int, fraction: float, level: int) -> int:
    """Return how many of ``prunable`` weights survive at a level."""
    return round(prunable * (1 - fraction) ** level)


def keep_highest(scores: Scores, mask: Flags, count: int) -> Flags:
    """Return the mask of the ``count`` survivors with the highest scores; of equals, those further on survive.

    Parameters
    ----------
    scores
        One number for each weight; those of pruned weights do not matter.
    mask
        The weights that survive so far. No other can come back.
    """
    places = np.flatnonzero(mask)
    if count > len(places):
        raise PrunescopeError(f"{count:,} weights cannot be kept of {len(places):,}")
    left = scores.reshape(-1)[places]
    if not np.isfinite(left).all():
        raise PrunescopeError("scores of weights are infinite or no numbers: the network has diverged")
    remove = len(places) - count
    survivors = np.zeros(mask.size, bool)
    if remove == 0:
        survivors[places] = True
    elif count:
        threshold = np.partition(left, remove - 1)[remove - 1]
        gone = left < threshold
        equal = np.flatnonzero(left == threshold)
        gone[equal[: remove - int(gone.sum())]] = True
        survivors[places[~gone]] = True
    return survivors.reshape(mask.shape)
