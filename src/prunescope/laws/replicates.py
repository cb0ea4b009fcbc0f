"""What replicates tell of chance: how deviations persist along ladders, and what networks share of the test examples'.

Each rung starts from the weights of the one before, so neighbouring rungs do not tell as much as independent ones: a
network that errs more than its replicates still does a rung later. The lag-1 correlation is estimated from how
replicates deviate from their mean, pooled over the ladders of a group. With a correlation of ``r`` the mean of many
rungs has ``(1 + r) / (1 - r)`` times the variance that it would have without.

Of ``n`` test examples a network's error ``e`` deviates by a relative variance of ``b = (1 - e) / (e n)``. Replicates
that err on the same examples deviate together, and their scatter is that between trainings alone, ``s^2``. What they do
not share of the deviation makes them scatter more, most where errors are small: ``s^2 + (1 - share^2) b``. That line,
fitted over points with replicates, tells the share, as `b` differs much between the low plateau and the high one while
the scatter between trainings is much the same share of an error.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prunescope.laws.data import GroupData, Integers, Numbers, PaddedGroups, StackedRows, stack_rows

# The correlation that is believed at the most: beyond it a ladder would be one measurement.
MOST = 0.9
# Fewer pairs of neighbours than this say nothing.
FEWEST_PAIRS = 4
# Neighbours from which on the correlation of a law's deviations says something.
ENOUGH_PAIRS = 20


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


# Values tried of what is not shared and of the scatter between trainings, as shares of the largest variance.
PARTS = np.linspace(0.0, 1.0, 41)
SCATTERS = np.r_[0.0, np.geomspace(1e-4, 1.0, 40)]
# Points of like errors that are taken together, at the least, and how many such parts there are at the most.
FEWEST, MOST_PARTS = 12, 32
# A variance counts as so many times the median of its part at the most: a training that went wrong is no chance.
OUTLYING = 12.0
# By how much a log likelihood falls within a standard error.
ONE_ERROR = 0.5


def replicate_shares(rows: StackedRows, tested: Numbers) -> Numbers:
    """Return what the networks of each group share of the binomial deviation: 1 where nothing says that it is less.

    The unshared part is the least within a standard error of the likeliest, so that few replicates, or curves that
    stay on a plateau, leave all of it shared.

    Parameters
    ----------
    rows
        Rows by test set, whose points count on from rung to rung.
    tested
        How many test examples each row's error is a share of.
    """
    groups = len(rows.first_point)
    shares = np.ones(groups)
    if rows.repeats.max(initial=1) < 2:
        return shares
    mean = rows.mean(rows.error)
    squares = np.bincount(rows.point, (rows.error / mean - 1) ** 2)
    first = np.unique(rows.point, return_index=True)[1]
    binomial = np.maximum(1 / mean[first] - 1, 0.0) / tested[first]
    group, freedom = rows.group[first], (rows.repeats - 1).astype(np.float64)
    several = (freedom > 0) & (binomial > 0)
    persistence = persistence_of_rows(rows, groups)
    for number in range(groups):
        points = np.flatnonzero(several & (group == number))
        if len(points) >= 2 * FEWEST:
            variance = squares[points] / freedom[points]
            part = _unshared(variance, freedom[points], binomial[points], float(inflation(persistence[number])))
            shares[number] = np.sqrt(1 - part)
    return shares


def _unshared(variance: Numbers, freedom: Numbers, binomial: Numbers, inflated: float) -> float:
    """Return the least part of the binomial variance that is not shared, within a standard error of the likeliest."""
    order = np.argsort(binomial)
    parts = np.array_split(order, min(MOST_PARTS, len(order) // FEWEST))
    weight = np.array([freedom[part].sum() for part in parts], np.float64)
    capped = [np.minimum(variance[part], OUTLYING * np.median(variance[part])) for part in parts]
    measured = np.array([freedom[part] @ values for part, values in zip(parts, capped, strict=True)]) / weight
    chance = np.array([freedom[part] @ binomial[part] for part in parts]) / weight
    if not measured.min() > 0:
        return 0.0
    expected = measured.max() * SCATTERS[None, :, None] + PARTS[:, None, None] * chance
    expected = np.maximum(expected, 1e-12)
    unlikely = (weight / 2 * (np.log(expected) + measured / expected)).sum(axis=2).min(axis=1) / inflated
    return float(PARTS[np.argmax(unlikely <= unlikely.min() + ONE_ERROR)])


def neighbour_correlation(padded: PaddedGroups, residual: Numbers) -> tuple[Numbers, NDArray[np.int64]]:
    """Return the correlation of a law's deviations at neighbouring densities of a cell, and of how many, for each fit.

    0 where there are too few.
    """
    alike = padded.present[:, 1:] & (padded.cell[:, 1:] == padded.cell[:, :-1])
    # An unpruned network that lends its error to the low plateau is no deviation.
    alike &= np.abs(residual[:, :-1]) > 0
    ahead, behind = np.where(alike, residual[:, 1:], 0.0), np.where(alike, residual[:, :-1], 0.0)
    together, apart = (ahead * behind).sum(axis=1), np.sqrt((ahead**2).sum(axis=1) * (behind**2).sum(axis=1))
    pairs = alike.sum(axis=1)
    enough = (pairs >= ENOUGH_PAIRS) & (apart > 0)
    return np.where(enough, together / np.where(apart > 0, apart, 1.0), 0.0), pairs
