"""How deviations persist along ladders: a network that errs more than its replicates still does a rung later.

Each rung starts from the weights of the one before, so neighbouring rungs do not tell as much as independent ones. The
lag-1 correlation is estimated from how replicates deviate from their mean, pooled over the ladders of a group.
With a correlation of ``r`` the mean of many rungs has ``(1 + r) / (1 - r)`` times the variance that it would have
without.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prunescope.laws.data import GroupData, Integers, Numbers, StackedRows, stack_rows

# The correlation that is believed at the most: beyond it a ladder would be one measurement.
MOST = 0.9
# Fewer pairs of neighbours than this say nothing.
FEWEST_PAIRS = 4


def replicate_persistence(groups: Sequence[GroupData]) -> Numbers:
    """Return the lag-1 correlation of each group's replicates along density; 0 where there is nothing to tell it."""
    if max((int(group.repeats.max(initial=1)) for group in groups), default=1) < 2:
        return np.zeros(len(groups))
    return persistence_of_rows(stack_rows(groups), len(groups))


def persistence_of_rows(rows: StackedRows, groups: int) -> Numbers:
    """Return the same of rows whose points count on from rung to rung."""
    repeats = rows.repeats
    log_error = np.log(rows.error)
    off = (log_error - rows.mean(log_error)) * np.sqrt(repeats / np.maximum(repeats - 1, 1))[rows.point]
    order = np.lexsort((rows.point, rows.replicate, rows.cell, rows.group))
    order = order[(repeats[rows.point] > 1)[order]]
    before, after = order[:-1], order[1:]
    beside = rows.point[after] == rows.point[before] + 1
    for label in (rows.group, rows.cell, rows.replicate):
        beside &= label[before] == label[after]
    before, after = before[beside], after[beside]
    ladders = np.where(repeats > 1, (repeats - 1) / np.maximum(repeats, 1), 0)[rows.point[before]]
    return _corrected(off[before], off[after], rows.group[before], ladders, groups)


def _corrected(before: Numbers, after: Numbers, label: Integers, share: Numbers, labels: int) -> Numbers:
    """Return the correlation of neighbours under each label, corrected for small samples (Marriott and Pope 1954)."""
    products, left, right, pairs = (
        np.bincount(label, values, labels) for values in (before * after, before**2, after**2, share)
    )
    plain = products / np.sqrt(np.maximum(left * right, 1e-300))
    corrected = plain * (1 + 2 / np.maximum(pairs, 1))
    return np.where(pairs >= FEWEST_PAIRS, np.clip(corrected, 0.0, MOST), 0.0)


def inflation(persistence: Numbers) -> Numbers:
    """Return by how much persistence multiplies the variance of means over many rungs."""
    return np.asarray((1 + persistence) / (1 - persistence))
