"""What the curvature at an optimum tells, for many fits at once: bounds, flat directions, linear uncertainty.

With eight cells or more the covariance is that of whole cells, whose points move together; with fewer, points count as
independent. Both take the unpruned errors as they are: `intervals` does better for the laws that stand on those.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunescope.laws.batch import BatchForm, Numbers
from prunescope.laws.data import PaddedGroups
from prunescope.laws.models import AT_BOUND, Box
from prunescope.laws.solve import Solved, deviation

# Cells from which on whole cells are resampled, and their scatter is trusted.
ENOUGH_CELLS = 8
# Standard deviations (of logarithms, or of an exponent) beyond which the data do not tell a parameter.
UNTOLD = 3.0
# Share of a flat direction from which on a coordinate lies in it.
FLAT = 0.1


@dataclass(frozen=True)
class LinearIntervals:
    """Linear uncertainty of a batch of fits.

    Attributes
    ----------
    covariance
        Of the coordinates; 0 where fixed or at a bound, very large along flat directions.
    freedom
        Degrees of freedom behind it.
    bound
        Which free coordinates stand at a bound, -1 at the lower, 1 at the upper.
    flat
        The direction in which the sum of squares is nearly constant, zero where there is none.
    """

    covariance: Numbers
    freedom: Numbers
    bound: NDArray[np.int8]
    flat: Numbers


def quick(form: BatchForm, side_by_side: PaddedGroups, solved: Solved, where: Box) -> LinearIntervals:
    """Return the linear uncertainty of each fit."""
    points, theta = side_by_side.points, solved.theta
    free = where.low < where.high
    room = np.where(free, where.high - where.low, 1.0)
    at_low, at_high = theta - where.low <= AT_BOUND * room, where.high - theta <= AT_BOUND * room
    bound = np.where(free & at_high, 1, np.where(free & at_low, -1, 0)).astype(np.int8)
    freedom = np.maximum(side_by_side.telling - free.sum(axis=1), 0)
    variance = 2 * solved.cost / np.maximum(freedom, 1)
    inverse, flat = inverted(solved.hessian, free & (bound == 0))
    enough = side_by_side.cells >= ENOUGH_CELLS
    covariance = variance[:, None, None] * inverse
    if enough.any():
        residual, jacobian = deviation(form, points, theta)
        if points.weight is not None:
            residual = residual * points.weight
        grown = (side_by_side.cells / np.maximum(side_by_side.cells - 1, 1))[:, None, None]
        clustered = inverse @ _meat(residual * jacobian, side_by_side) @ inverse * grown
        covariance = np.where(enough[:, None, None], clustered, covariance)
    freedom = np.where(enough, side_by_side.cells - 1, freedom).astype(np.float64)
    return LinearIntervals(covariance, freedom, bound, flat)


def inverted(hessian: Numbers, moving: NDArray[np.bool_]) -> tuple[Numbers, Numbers]:
    """Return the inverse over the moving coordinates, very large where flat, and the flat direction of each fit."""
    both = moving[:, :, None] & moving[:, None, :]
    scale = np.sqrt(np.maximum(np.where(moving, np.einsum("fii->fi", hessian), 1.0), 1e-300))
    scaled = np.where(both, hessian / (scale[:, :, None] * scale[:, None, :]), 0.0)
    np.einsum("fii->fi", scaled)[...] = 1.0
    values, vectors = np.linalg.eigh(scaled)
    # Beyond this the direction is told by rounding, not by data.
    flat = np.where(values[:, :1] < 1e-9, np.abs(vectors[:, :, 0]) > FLAT, False)
    kept = 1 / np.maximum(values, 1e-9)
    inverse = np.einsum("fik,fk,fjk->fij", vectors, kept, vectors) / (scale[:, :, None] * scale[:, None, :])
    return np.where(both, inverse, 0.0), np.where(flat & moving, vectors[:, :, 0], 0.0)


def _meat(scores: Numbers, side_by_side: PaddedGroups) -> Numbers:
    """Return ``sum over cells of s s'`` for each fit, ``s`` being the sum of ``[coordinates, fits, n]`` in a cell."""
    count, cells, fits = len(scores), len(side_by_side.owner), len(side_by_side.count)
    index = side_by_side.cell.ravel()
    sums = np.array([np.bincount(index, each.ravel(), cells) for each in scores])
    found = np.empty((fits, count, count))
    for row in range(count):
        for column in range(row + 1):
            found[:, row, column] = np.bincount(side_by_side.owner, sums[row] * sums[column], fits)
            found[:, column, row] = found[:, row, column]
    return found
