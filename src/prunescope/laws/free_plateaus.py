"""The law with each cell's low plateau unknown: what honest intervals are made from.

Eq. 1 and 2 take the measured error of the unpruned network for the low plateau. It is a measurement, as noisy as any,
and all points of a cell share its noise; an interval that forgets this can be badly wrong, most of all where curves
stop early and the low plateau is most of what they show. Here the plateau of every cell is fitted along with the
parameters, the unpruned network being one more point of its curve. As cells share nothing but the parameters, their
plateaus are eliminated cell by cell, and a step costs little more than without them.

Deviations are taken in logarithms and allow for the noise of averaging, so that a noisy divisor pulls nothing.
Fits that users see minimise what the paper minimises (`solve`); from here come intervals, and how far those fits are
pulled.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prunescope.laws.batch import Numbers, Points, PruningForm
from prunescope.laws.data import GroupData, Integers, PaddedGroups, padded
from prunescope.laws.solve import STEPS, STUCK, cores, damped_step

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
    """Points whose plateaus are unknown.

    Attributes
    ----------
    points
        ``[n]`` for fits that share them, ``[fits, n]`` for fits with points of their own, of one cell each.
    first
        Where each cell's points begin.
    cell
        The cell of each point.
    measured, prior
        The unpruned errors, and the weight with which they hold the plateaus.
    """

    points: Points
    first: Integers
    cell: Integers
    measured: Numbers
    prior: Numbers

    def fits(self, rows: slice | NDArray[np.int64]) -> FreePlateaus:
        """Return the problem of some fits."""
        if self.points.error.ndim == 1:
            return self
        return replace(self, points=self.points.fits(rows), measured=self.measured[rows], prior=self.prior[rows])

    def mixed(self, other: FreePlateaus, rows: NDArray[np.bool_]) -> FreePlateaus:
        """Return a problem that is another in some rows; they may differ in their densities."""
        theirs, ours = other.points.density, self.points.density
        density = np.where(rows[:, None], theirs, ours) if ours.ndim == 2 else theirs
        return replace(self, points=replace(self.points, density=density))


def free_plateaus(
    groups: Sequence[GroupData], noise: Sequence[float], reads_as_law: bool, layout: PaddedGroups | None = None
) -> FreePlateaus:
    """Return one group, or many of one cell each, with unknown plateaus.

    Parameters
    ----------
    noise
        Relative standard deviation of one network's error, for each group.
    reads_as_law
        Whether the error at density 1 is a point of the law or the low plateau itself; they differ where an unpruned
        network is so small that it has no low plateau.
    layout
        The groups side by side, if they were laid so already.
    """
    if len(groups) == 1:
        return _one(groups[0], noise[0], reads_as_law)
    return _many(groups, layout or padded(groups), np.asarray(noise), reads_as_law)


def _many(groups: Sequence[GroupData], side_by_side: PaddedGroups, noise: Numbers, reads_as_law: bool) -> FreePlateaus:
    """Do what `_one` does, for many groups of one cell each at once."""
    points, present = side_by_side.points, side_by_side.present
    repeats, dense_repeats = side_by_side.taken(groups, "repeats"), side_by_side.taken(groups, "dense_repeats")
    squared = noise[:, None] ** 2
    derived, own = dense_repeats > 0, dense_repeats[:, :1]
    dense = (points.density > -1e-9) & present
    shown = dense.sum(axis=1, keepdims=True)
    usual = (repeats * present).sum(axis=1, keepdims=True) / side_by_side.count[:, None]
    measured = points.unpruned[:, :1] + np.where(own > 0, squared / 2 / np.maximum(own, 1), 0)
    alone = dense & derived & (shown == 1)
    error = np.where(alone, measured, points.error + squared / (2 * repeats))
    weight = np.where(present, np.where(alone, dense_repeats / usual, 1.0), 0.0)
    prior = np.where(own > 0, np.where(shown > 0, HELD, own / usual), GIVEN)
    density = points.density if reads_as_law else np.where(dense & derived, DENSE, points.density)
    freed = Points(error, points.unpruned, density, points.depth, points.width, weight)
    return FreePlateaus(freed, np.zeros(1, np.int64), np.zeros(points.count, np.int64), measured, prior)


def _one(group: GroupData, noise: float, reads_as_law: bool) -> FreePlateaus:
    points, cells = group.points, group.cells
    first = np.searchsorted(group.cell, np.arange(cells))
    dense = points.density > -1e-9
    derived = group.dense_repeats > 0
    # The mean of noisy errors has a logarithm that lies below that of the truth by half its variance.
    error = points.error + noise**2 / (2 * group.repeats)
    weight = np.ones(len(group))
    usual = float(np.mean(group.repeats))
    measured = points.unpruned[first] + np.where(
        derived[first], noise**2 / 2 / np.maximum(group.dense_repeats[first], 1), 0
    )
    shown = np.bincount(group.cell[dense], minlength=cells) > 0
    alone = dense & derived & (np.bincount(group.cell[dense], minlength=cells)[group.cell] == 1)
    error = np.where(alone, measured[group.cell], error)
    weight = np.where(alone, group.dense_repeats / usual, weight)
    prior = np.where(derived[first], np.where(shown, HELD, group.dense_repeats[first] / usual), GIVEN)
    density = points.density if reads_as_law else np.where(dense & derived, DENSE, points.density)
    return FreePlateaus(
        Points(error, points.unpruned, density, points.depth, points.width, weight), first, group.cell, measured, prior
    )


@dataclass(frozen=True)
class FreePlateauFit:
    """What came of a batch: coordinates, cost, plateaus."""

    theta: Numbers
    cost: Numbers
    plateaus: Numbers

    def mixed(self, other: FreePlateauFit, rows: NDArray[np.bool_]) -> FreePlateauFit:
        """Return what is another in some rows."""
        column = rows[:, None]
        return FreePlateauFit(
            np.where(column, other.theta, self.theta),
            np.where(rows, other.cost, self.cost),
            np.where(column, other.plateaus, self.plateaus),
        )


def solve_freed(
    form: PruningForm,
    problem: FreePlateaus,
    start: Numbers,
    low: Numbers,
    high: Numbers,
    plateaus: Numbers | None = None,
    cell_weight: Numbers | None = None,
) -> FreePlateauFit:
    """Minimise half the weighted sum of squared log deviations over coordinates and plateaus.

    Parameters
    ----------
    start
        ``[fits, coordinates]``.
    low, high
        The box, for each fit or all.
    plateaus
        Where the plateaus start; None is at the unpruned errors.
    cell_weight
        ``[fits, cells]``: how often each cell counts.
    """
    fits = len(start)
    low, high = np.broadcast_to(low, start.shape), np.broadcast_to(high, start.shape)
    begin = problem.measured if plateaus is None else plateaus
    begin = np.broadcast_to(begin, (fits, len(problem.first)))
    size = max(1, BLOCK // problem.points.count)
    chunks = [slice(at, at + size) for at in range(0, fits, size)]

    def one(rows: slice) -> FreePlateauFit:
        weight = None if cell_weight is None else cell_weight[rows]
        return _solve(form, problem.fits(rows), start[rows], low[rows], high[rows], begin[rows], weight)

    if len(chunks) == 1:
        return one(chunks[0])
    with ThreadPoolExecutor(cores()) as pool:
        done = list(pool.map(one, chunks))
    return FreePlateauFit(
        *(np.concatenate([getattr(each, name) for each in done]) for name in ("theta", "cost", "plateaus"))
    )


def curvature(form: PruningForm, problem: FreePlateaus, found: FreePlateauFit) -> Numbers:
    """Return the Hessian by the coordinates with the plateaus eliminated."""
    at = _normal(form, problem, found.theta, found.plateaus, None)
    return at.curve - (at.mixed / at.own[:, None, :]) @ at.mixed.transpose(0, 2, 1)


def firmness(form: PruningForm, problem: FreePlateaus, found: FreePlateauFit) -> Numbers:
    """Return the curvature by each plateau, ``[fits, cells]``: the parameters given, how firmly the points hold it."""
    return _normal(form, problem, found.theta, found.plateaus, None).own


@dataclass(frozen=True)
class _Normal:
    """Normal equations with the plateaus on their own diagonal."""

    cost: Numbers
    curve: Numbers
    slope: Numbers
    mixed: Numbers
    own: Numbers
    own_slope: Numbers

    def keep(self, rows: NDArray[np.bool_], other: _Normal) -> None:
        """Take over the rows of another."""
        for name in ("cost", "curve", "slope", "mixed", "own", "own_slope"):
            getattr(self, name)[rows] = getattr(other, name)[rows]

    def of(self, rows: NDArray[np.bool_]) -> _Normal:
        """Return some of the fits."""
        return _Normal(*(getattr(self, name)[rows] for name in ("cost", "curve", "slope", "mixed", "own", "own_slope")))


def _solve(
    form: PruningForm,
    problem: FreePlateaus,
    start: Numbers,
    low: Numbers,
    high: Numbers,
    begin: Numbers,
    cell_weight: Numbers | None,
) -> FreePlateauFit:
    theta, plateaus = np.clip(start, low, high), np.array(begin)
    ends = FreePlateauFit(theta.copy(), np.zeros(len(theta)), plateaus.copy())
    damping, growth = np.full(len(theta), 1e-3), np.full(len(theta), 2.0)
    live = np.arange(len(theta))
    now = _normal(form, problem, theta, plateaus, cell_weight)
    for _ in range(STEPS):
        own = now.own * (1 + damping[:, None])
        scaled = now.mixed / own[:, None, :]
        curve = now.curve - scaled @ now.mixed.transpose(0, 2, 1)
        slope = now.slope - (scaled @ now.own_slope[:, :, None])[:, :, 0]
        step = damped_step(theta, slope, curve, low, high, damping)
        own_step = -(now.own_slope + np.einsum("fkc,fk->fc", now.mixed, step)) / own
        np.clip(own_step, -1.0, 1.0, out=own_step)
        trial, trial_plateaus = theta + step, plateaus + own_step
        with np.errstate(all="ignore"):
            new = _normal(form, problem, trial, trial_plateaus, cell_weight)
        expected = -np.einsum("fi,fi->f", step, slope) - np.einsum("fi,fij,fj->f", step, curve, step) / 2
        expected += np.einsum("fc,fc->f", now.own_slope**2, 1 / own) / 2
        gain = (now.cost - new.cost) / np.maximum(expected, 1e-300)
        small = np.abs(expected) <= TOLERANCE * now.cost + 1e-30
        better = new.cost < now.cost
        theta[better], plateaus[better] = trial[better], trial_plateaus[better]
        now.keep(better, new)
        eased = damping * np.maximum(1 / 3, 1 - (2 * np.clip(gain, 0, 1) - 1) ** 3)
        damping = np.where(better, np.maximum(eased, 1e-12), damping * growth)
        growth = np.where(better, 2.0, growth * 2)
        done = small | (damping > STUCK)
        if done.any():
            rows = live[done]
            ends.theta[rows], ends.plateaus[rows], ends.cost[rows] = theta[done], plateaus[done], now.cost[done]
            rest = ~done
            live = live[rest]
            if not len(live):
                return ends
            theta, plateaus, low, high = theta[rest], plateaus[rest], low[rest], high[rest]
            damping, growth, now, problem = (
                damping[rest],
                growth[rest],
                now.of(rest),
                problem.fits(np.flatnonzero(rest)),
            )
            cell_weight = None if cell_weight is None else cell_weight[rest]
    ends.theta[live], ends.plateaus[live], ends.cost[live] = theta, plateaus, now.cost
    return ends


def _normal(
    form: PruningForm, problem: FreePlateaus, theta: Numbers, plateaus: Numbers, cell_weight: Numbers | None
) -> _Normal:
    points = problem.points
    log_error, jacobian = form.evaluate(theta, replace(points, unpruned=plateaus[:, problem.cell]))
    residual = log_error - points.error
    by_plateau = 1 - jacobian[0]  # Eq. 1: d log e / d log eps_np = 1 - d log e / d log eps_up
    weight = points.weight if points.weight is not None else np.ones(points.count)
    prior = np.broadcast_to(problem.prior, plateaus.shape)
    if cell_weight is not None:
        weight, prior = weight * cell_weight[:, problem.cell], prior * cell_weight
    away = plateaus - problem.measured
    weighted = weight * by_plateau
    sums = np.add.reduceat
    own = sums(weighted * by_plateau, problem.first, axis=-1) + prior
    own_slope = sums(weighted * residual, problem.first, axis=-1) + prior * away
    mixed = sums(jacobian * weighted, problem.first, axis=-1).transpose(1, 0, 2)
    by_fit = (jacobian * weight).transpose(1, 0, 2)
    curve = by_fit @ jacobian.transpose(1, 2, 0)
    slope = (by_fit @ residual[:, :, None])[:, :, 0]
    cost = np.einsum("fn,fn->f", residual * residual, np.broadcast_to(weight, residual.shape)) / 2
    cost += np.einsum("fc,fc->f", prior, away * away) / 2
    return _Normal(cost, curve, slope, mixed, np.maximum(own, 1e-12), own_slope)
