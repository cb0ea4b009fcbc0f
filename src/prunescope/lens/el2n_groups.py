"""Training examples by their EL2N: groups of percentiles, and the top fifth. Arrays in, arrays out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import Fault, InputError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

TOP = 0.2
"""The share of the examples that the paper sets against the rest."""


def ranks(el2n: Floats, index: Integers) -> Integers:
    """Return the place of each example in the order of its score, the lowest first; of equals the lower index first."""
    places = np.empty(len(el2n), np.int64)
    places[np.lexsort((index, el2n))] = np.arange(len(el2n))
    return places


def group_numbers(el2n: Floats, index: Integers, count: int) -> Integers:
    """Return the group of each example, 0 the lowest scores; groups differ by one in size at most.

    Where the examples do not divide evenly, the groups of lower scores have the ones left over.
    """
    if not 1 <= count <= len(el2n):
        raise InputError("groups", [Fault("their number", f"must be 1 to the {len(el2n):,} examples", str(count))])
    sizes = np.full(count, len(el2n) // count) + (np.arange(count) < len(el2n) % count)
    return np.repeat(np.arange(count), sizes)[ranks(el2n, index)]


def group_means(values: Floats, numbers: Integers, count: int) -> Floats:
    """Return the mean of each group."""
    averages: Floats = np.bincount(numbers, values, count) / np.bincount(numbers, minlength=count)
    return averages


def top_examples(el2n: Floats, index: Integers) -> NDArray[np.bool_]:
    """Return which examples are the fifth with the highest scores: one at least, and not all."""
    count = min(max(1, round(TOP * len(el2n))), len(el2n) - 1)
    return ranks(el2n, index) >= len(el2n) - count


@dataclass(frozen=True)
class Weight:
    """How much of a change falls on some of the examples.

    Attributes
    ----------
    top, rest
        Mean difference over them, and over the others.
    times
        Mean magnitude over them divided by that over the others; NaN where the others do not change.
    share
        Share of the sum of magnitudes; NaN where nothing changes.
    """

    top: float
    rest: float
    times: float
    share: float


def weigh_change(differences: Floats, top: NDArray[np.bool_]) -> Weight:
    """Weigh the change of some examples against that of the others."""
    size = np.abs(differences)
    above, below, whole = size[top].mean(), size[~top].mean(), size.sum()
    times = float(above / below) if below else float("nan")
    share = float(size[top].sum() / whole) if whole else float("nan")
    return Weight(float(differences[top].mean()), float(differences[~top].mean()), times, share)
