"""The law with the low plateau of each cell unknown: what honest intervals are made from.

Eq. 1 and 2 take the measured error of the unpruned network for the low plateau. It is as noisy as any measurement,
and all points of a cell share its noise. An interval that forgets this can be badly wrong, most of all where curves
stop early and the low plateau is most of what they show. Here the plateau of every cell is a nuisance parameter, and
the unpruned network one more point of its curve. Cells share nothing but the coordinates, so the solver eliminates
their plateaus, and a step costs little more than without them.

Deviations are taken in logarithms and allow for the noise of averaging, so that a noisy divisor pulls nothing. The
fits that users see minimise what the paper minimises; intervals, and how far those fits are pulled, come from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prunescope.laws.data import GroupData, Integers, Numbers, PaddedGroups, Points, Rows, pad
from prunescope.laws.forms import Form
from prunescope.laws.solver import Coupling, NormalEquations, Solved, shrink, solve_problem

# Points times fits worked on at a time.
BLOCK = 65_536
TOLERANCE = 1e-8
# Weight of a plateau that was given: it does not move.
GIVEN = 1e6
# Weight of the measured unpruned error where nothing else holds a plateau.
HELD = 1e-3
# A logarithm of a density so large that any law is on its low plateau.
DENSE = 80.0


@dataclass(frozen=True)
class FreePlateaus:
    """Points whose plateaus are unknown, and the form (Eq. 1 or 2) to fit to them.

    Attributes
    ----------
    points
        ``[n]`` for fits that share them, ``[fits, n]`` for fits with points of their own, of one cell each.
    first
        Where the points of each cell begin.
    cell
        The cell of each point.
    measured, prior
        The unpruned errors, and the weight with which they hold the plateaus.
    cell_weight
        How often each cell counts, ``[fits, cells]``; None is once.
    """

    form: Form
    points: Points
    first: Integers
    cell: Integers
    measured: Numbers
    prior: Numbers
    cell_weight: Numbers | None = None

    def fits(self, rows: Rows) -> FreePlateaus:
        """Return the problem of some fits."""
        weight = None if self.cell_weight is None else self.cell_weight[rows]
        if self.points.error.ndim == 1:
            return replace(self, cell_weight=weight)
        points, measured, prior = self.points.fits(rows), self.measured[rows], self.prior[rows]
        return replace(self, points=points, measured=measured, prior=prior, cell_weight=weight)

    def replace_fits(self, rows: NDArray[np.bool_], other: FreePlateaus) -> FreePlateaus:
        """Return the problem with some fits taken from another, which may differ in its densities alone."""
        theirs, ours = other.points.density, self.points.density
        density = np.where(rows[:, None], theirs, ours) if ours.ndim == 2 else theirs
        return replace(self, points=replace(self.points, density=density))

    def normal_equations(self, theta: Numbers, nuisance: Numbers) -> NormalEquations:
        """Return the normal equations at some coordinates and plateaus."""
        points = self.points
        log_error, jacobian = self.form.evaluate(theta, replace(points, unpruned=nuisance[:, self.cell]))
        residual = log_error - points.error
        by_plateau = 1 - jacobian[0]  # Eq. 1: d log e / d log eps_np = 1 - d log e / d log eps_up
        weight = points.weight if points.weight is not None else np.ones(points.count)
        prior = np.broadcast_to(self.prior, nuisance.shape)
        if self.cell_weight is not None:
            weight, prior = weight * self.cell_weight[:, self.cell], prior * self.cell_weight
        shift = nuisance - self.measured
        weighted = weight * by_plateau
        sums = np.add.reduceat
        curvature = sums(weighted * by_plateau, self.first, axis=-1) + prior
        plateau_gradient = sums(weighted * residual, self.first, axis=-1) + prior * shift
        mixed = sums(jacobian * weighted, self.first, axis=-1).transpose(1, 0, 2)
        by_fit = (jacobian * weight).transpose(1, 0, 2)
        hessian = by_fit @ jacobian.transpose(1, 2, 0)
        gradient = (by_fit @ residual[:, :, None])[:, :, 0]
        cost = np.einsum("fn,fn->f", residual * residual, np.broadcast_to(weight, residual.shape)) / 2
        cost += np.einsum("fc,fc->f", prior, shift * shift) / 2
        coupling = Coupling(mixed, np.maximum(curvature, 1e-12), plateau_gradient)
        count = np.broadcast_to(weight, residual.shape).sum(axis=-1)
        return shrink(self.form, theta, count, NormalEquations(cost, hessian, gradient, coupling))

    def responses(self, theta: Numbers, nuisance: Numbers) -> tuple[Numbers, Numbers]:
        """Return how the gradient of the coordinates answers to log errors of points and to measured plateaus.

        ``[coordinates, fits, points]`` and ``[coordinates, fits, cells]``, the plateaus eliminated: times the inverse
        Hessian they are how far the coordinates move.
        """
        points = self.points
        _, jacobian = self.form.evaluate(theta, replace(points, unpruned=nuisance[:, self.cell]))
        by_plateau = 1 - jacobian[0]
        weight = points.weight if points.weight is not None else np.ones(points.count)
        prior = np.broadcast_to(self.prior, nuisance.shape)
        weighted = weight * by_plateau
        sums = np.add.reduceat
        curvature = np.maximum(sums(weighted * by_plateau, self.first, axis=-1) + prior, 1e-12)
        share = sums(jacobian * weighted, self.first, axis=-1) / curvature
        return jacobian * weight - share[:, :, self.cell] * weighted, -share * prior


def free_plateaus(
    form: Form,
    groups: Sequence[GroupData],
    noise: Sequence[float],
    reads_as_law: bool,
    padded: PaddedGroups | None = None,
) -> FreePlateaus:
    """Return the problem of one group, or of many of one cell each, with unknown plateaus.

    Parameters
    ----------
    reads_as_law
        Whether the error at density 1 is a point of the law or the low plateau itself; they differ where an unpruned
        network is so small that it has no low plateau.
    """
    if len(groups) == 1:
        (group,) = groups
        points, cell, count = group.points, group.cell, np.array(len(group))
        first = np.searchsorted(cell, np.arange(group.cells))
        present, repeats, dense_repeats = np.ones(len(group), bool), group.repeats, group.dense_repeats
        squared = np.array(noise[0] ** 2)
    else:
        layout = padded or pad(groups)
        points, present, count = layout.points, layout.present, layout.count[:, None]
        first, cell = np.zeros(1, np.int64), np.zeros(points.count, np.int64)
        repeats, dense_repeats = layout.column(groups, "repeats"), layout.column(groups, "dense_repeats")
        squared = np.asarray(noise)[:, None] ** 2
    averaged, behind = dense_repeats > 0, dense_repeats[..., first]
    dense = (points.density > -1e-9) & present
    dense_points = np.add.reduceat(dense, first, axis=-1, dtype=np.int64)
    usual = (repeats * present).sum(axis=-1, keepdims=True) / count
    # The mean of noisy errors has a logarithm that lies below that of the truth by half its variance.
    measured = points.unpruned[..., first] + np.where(behind > 0, squared / 2 / np.maximum(behind, 1), 0)
    alone = dense & averaged & (dense_points[..., cell] == 1)
    error = np.where(alone, measured[..., cell], points.error + squared / (2 * repeats))
    if points.weight is None or not any(group.weight is not None for group in groups):
        weight = np.where(present, np.where(alone, dense_repeats / usual, 1.0), 0.0)
    else:
        weight = np.where(alone, dense_repeats / repeats, 1.0) * points.weight
    prior = np.where(behind > 0, np.where(dense_points > 0, HELD, behind / usual), GIVEN)
    density = points.density if reads_as_law else np.where(dense & averaged, DENSE, points.density)
    free = Points(error, points.unpruned, density, points.depth, points.width, weight)
    return FreePlateaus(form, free, first, cell, measured, prior)


def solve_free_plateaus(
    problem: FreePlateaus, start: Numbers, low: Numbers, high: Numbers, plateaus: Numbers | None = None
) -> Solved:
    """Minimise half the weighted sum of squared log deviations; plateaus start at the unpruned errors by default."""
    begin = np.broadcast_to(problem.measured if plateaus is None else plateaus, (len(start), len(problem.first)))
    return solve_problem(problem, start, begin, low, high, max(1, BLOCK // problem.points.count), TOLERANCE)


def reduced_hessian(problem: FreePlateaus, solved: Solved) -> tuple[Numbers, Numbers]:
    """Return the Hessian with the plateaus eliminated, and how firmly points hold each plateau if it alone is free."""
    return problem.normal_equations(solved.theta, solved.nuisance).reduced()
