"""What networks share of the chance that test examples add to their errors, told by how replicates scatter.

Of ``n`` examples a network's error ``e`` deviates by a relative variance of ``b = (1 - e) / (e n)``. Replicates that
err on the same examples deviate together, and their scatter is that between trainings alone, ``s^2``. What they do not
share of the deviation makes them scatter more, most where errors are small: ``s^2 + (1 - share^2) b``. That line,
fitted over points with replicates, tells the share, as `b` differs much between the low plateau and the high one while
the scatter between trainings is much the same share of an error.
"""

from __future__ import annotations

import numpy as np

from prunescope.laws.data import Numbers, StackedRows
from prunescope.laws.persistence import inflation, persistence_of_rows

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
