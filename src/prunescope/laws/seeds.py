"""How much the seed alone moves an error (the first paper's Fig. 5, right), to hold a fit's error against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prunescope.laws.batch import Numbers
from prunescope.laws.data import GroupData


@dataclass(frozen=True)
class Seeds:
    """Replicates of each point that has two or more.

    Attributes
    ----------
    mean, low, high
        Mean, smallest and largest error of each point.
    std
        Relative standard deviation between replicates, pooled; None without replicates.
    """

    mean: Numbers
    low: Numbers
    high: Numbers
    std: float | None


def seeds(group: GroupData) -> Seeds:
    """Return how the replicates of a group differ."""
    count = len(group)
    repeats = np.bincount(group.row_point, minlength=count)
    mean = np.bincount(group.row_point, group.row_error, count) / np.maximum(repeats, 1)
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, group.row_point, group.row_error)
    np.maximum.at(high, group.row_point, group.row_error)
    several = repeats > 1
    return Seeds(mean[several], low[several], high[several], group.seed_noise)
