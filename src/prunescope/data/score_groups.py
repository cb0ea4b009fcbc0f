"""Groups of training examples by score, such as the second paper's twenty by EL2N."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import Fault, InputError

Floats = NDArray[np.floating]
Integers = NDArray[np.int64]


def score_ranks(scores: Floats, index: Integers) -> Integers:
    """Return the rank of each example by score, the lowest first; ties by index."""
    places = np.empty(len(scores), np.int64)
    places[np.lexsort((index, scores))] = np.arange(len(scores))
    return places


def group_numbers(scores: Floats, index: Integers, count: int) -> Integers:
    """Return the group of each example, 0 for the lowest scores; group sizes differ by at most one.

    Groups of lower scores take the remainder.
    """
    if not 1 <= count <= len(scores):
        raise InputError("groups", [Fault("their number", f"must be 1 to the {len(scores):,} examples", str(count))])
    sizes = np.full(count, len(scores) // count) + (np.arange(count) < len(scores) % count)
    return np.repeat(np.arange(count), sizes)[score_ranks(scores, index)]
