"""Linear uncertainty from the curvature at the optimum, for many fits at once.

The covariance allows for what the plain least-squares one does not: points of one cell move together, because they
share networks and, above all, one measured unpruned error. With eight cells or more the scatter of whole cells says by
how much; with fewer, the noise of the unpruned errors is put in as such.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunescope.laws.batch import Form, Numbers, Points
from prunescope.laws.kinds import AT_BOUND, Box
from prunescope.laws.measured import Padded
from prunescope.laws.solve import Solved, deviation

# Cells from which on whole cells are resampled, and their scatter is trusted.
ENOUGH_CELLS = 8
# Standard deviations (of logarithms, or of an exponent) beyond which the data do not tell a parameter.
UNTOLD = 3.0


@dataclass(frozen=True)
class Quick:
    """Linear uncertainty of a batch of fits.

    Attributes
    ----------
    sd
        Standard deviation of each coordinate, cells moving together; infinite along flat directions, 0 where fixed.
    plain
        The same if all points scattered alone.
    covariance
        What `sd` is the root of, finite everywhere.
    variance
        Residual variance of the relative deviation.
    freedom
        Degrees of freedom behind `sd`.
    bound
        Which free coordinates stand at a bound, -1 at the lower, 1 at the upper.
    flat
        The direction in which the sum of squares is nearly constant, zero where there is none.
    """

    sd: Numbers
    plain: Numbers
    covariance: Numbers
    variance: Numbers
    freedom: Numbers
    bound: NDArray[np.int8]
    flat: Numbers


def quick(form: Form, side_by_side: Padded, solved: Solved, where: Box, noise_of_unpruned: Numbers) -> Quick:
    """Return the linear uncertainty of each fit.

    Parameters
    ----------
    noise_of_unpruned
        Relative standard deviation of the unpruned error of each cell.
    """
    points, theta = side_by_side.points, solved.theta
    free = where.low < where.high
    room = np.where(free, where.high - where.low, 1.0)
    at_low, at_high = theta - where.low <= AT_BOUND * room, where.high - theta <= AT_BOUND * room
    bound = np.where(free & at_high, 1, np.where(free & at_low, -1, 0)).astype(np.int8)
    moving = free & (bound == 0)
    freedom = np.maximum(side_by_side.telling - free.sum(axis=1), 0)
    variance = 2 * solved.cost / np.maximum(freedom, 1)
    inverse, flat = _inverse(solved.hessian, moving)
    naive = variance[:, None, None] * inverse
    residual, jacobian = deviation(form, points, theta)
    if points.weight is not None:
        residual, jacobian = residual * points.weight, jacobian * points.weight
    by_cell = _meat(residual * jacobian, side_by_side)
    shift = _meat(by_unpruned(form, points, theta) * jacobian, side_by_side, noise_of_unpruned)
    modelled = naive + inverse @ shift @ inverse
    cells = side_by_side.cells[:, None, None]
    clustered = inverse @ by_cell @ inverse * cells / np.maximum(cells - 1, 1)
    enough = cells >= ENOUGH_CELLS
    larger = np.einsum("fii->fi", clustered) > np.einsum("fii->fi", modelled)
    few = np.where(larger[:, :, None] & larger[:, None, :] & (cells > 1), clustered, modelled)
    covariance = np.where(enough, clustered, few)
    unknown = (flat != 0) & moving
    sd, plain = (np.sqrt(np.maximum(np.einsum("fii->fi", each), 0)) for each in (covariance, naive))
    sd, plain = np.where(unknown, np.inf, sd), np.where(unknown, np.inf, plain)
    freedom = np.where(enough[:, 0, 0], side_by_side.cells - 1, freedom).astype(np.float64)
    return Quick(sd, plain, covariance, variance, freedom, bound, flat)


def by_unpruned(form: Form, points: Points, theta: Numbers) -> Numbers:
    """Return the derivative of ``log e_hat`` by the logarithm of the unpruned error."""
    from dataclasses import replace

    step = 1e-5
    above, below = (form.evaluate(theta, replace(points, unpruned=points.unpruned + by))[0] for by in (step, -step))
    return np.asarray((above - below) / (2 * step))


def _inverse(hessian: Numbers, moving: NDArray[np.bool_]) -> tuple[Numbers, Numbers]:
    """Return the inverse over the moving coordinates, and the flat direction of each fit."""
    both = moving[:, :, None] & moving[:, None, :]
    scale = np.sqrt(np.maximum(np.where(moving, np.einsum("fii->fi", hessian), 1.0), 1e-300))
    scaled = np.where(both, hessian / (scale[:, :, None] * scale[:, None, :]), 0.0)
    np.einsum("fii->fi", scaled)[...] = 1.0
    values, vectors = np.linalg.eigh(scaled)
    # Beyond this the direction is told by rounding, not by data.
    flat = np.where(values[:, :1] < 1e-9, np.abs(vectors[:, :, 0]) > 0.3, False)
    kept = 1 / np.maximum(values, 1e-9)
    inverse = np.einsum("fik,fk,fjk->fij", vectors, kept, vectors) / (scale[:, :, None] * scale[:, None, :])
    return np.where(both, inverse, 0.0), np.where(flat & moving, vectors[:, :, 0], 0.0)


def _meat(scores: Numbers, side_by_side: Padded, factor: Numbers | None = None) -> Numbers:
    """Return ``sum over cells of s s'`` for each fit, ``s`` being the sum of ``[coordinates, fits, n]`` in a cell."""
    count, cells = len(scores), len(side_by_side.owner)
    index = side_by_side.cell.ravel()
    sums = np.array([np.bincount(index, each.ravel(), cells) for each in scores])
    if factor is not None:
        sums = sums * factor
    fits = len(side_by_side.count)
    found = np.empty((fits, count, count))
    for row in range(count):
        for column in range(row + 1):
            found[:, row, column] = np.bincount(side_by_side.owner, sums[row] * sums[column], fits)
            found[:, column, row] = found[:, row, column]
    return found
