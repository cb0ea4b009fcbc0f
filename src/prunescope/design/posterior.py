"""The joint posterior of a law and of unpruned errors, and how a measurement would change it.

A Gaussian over ``z = (theta, v, u)``: the seven coordinates of Eq. 2 with corners of any sharpness (`cornered_law`),
and for every cell (a member on a number of
examples) the logarithm of its unpruned error and how far its curve departs from the family's, as a shift of ``log m*``.
Without these shifts the cheapest cells would seem to determine the most expensive ones. The prior is weak and proper,
so planning can start before anything is measured; measured rows update it by Gauss-Newton steps on the exact Jacobian.
Answers rest on `laws`, which fits without a prior; this is for planning alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from prunescope.choose.unpruned import GaussianProcess, Place
from prunescope.design.cornered_law import CORNERED
from prunescope.distributions import draw_symmetric
from prunescope.laws.data import Points

Numbers = NDArray[np.float64]
Integers = NDArray[np.int64]

THETA = 7
# Prior of eps_up (as a share of guessing), gamma, p_prime, phi, psi, and of how sharp the low and the high corner are
# (Eq. 2: 2): mean and standard deviation.
PRIOR_MEAN = (np.log(0.9), np.log(1.3), np.log(0.05), 0.8, 1.2, np.log(2), np.log(2))
PRIOR_SPREAD = (0.25, 0.5, 2.5, 0.6, 0.7, 0.5, 0.5)
# Relative noise of one network without replicates.
NOISE = 0.04
# How far single cells' curves depart from the law: sigma 5.8 % of the paper's families, of which seeds explain 2 %.
SHIFT = 0.05
# Prior of further departures, and over how many neighbouring rungs they are correlated.
DEPARTURE, ALIKE = 0.03, 3
# Points beyond those that the law takes from which on their scatter bounds the noise, and of which share it must be.
FEWEST_FREE, MUCH_NEARER = 8, 0.5
STEPS = 60
DAMPING = 1e-3


@dataclass(frozen=True)
class Rows:
    """Measured networks, one value each.

    Attributes
    ----------
    cell
        The cell of each network.
    log_density, log_error
        Its density and measured error.
    """

    cell: Integers
    log_density: Numbers
    log_error: Numbers

    def __len__(self) -> int:
        return len(self.cell)

    def of(self, cells: Integers, count: int) -> Rows:
        """Return the networks of some of `count` cells, which are numbered anew."""
        number = np.full(count, -1)
        number[cells] = np.arange(len(cells))
        there = number[self.cell] >= 0
        return Rows(number[self.cell[there]], self.log_density[there], self.log_error[there])

    def averaged(self) -> tuple[Rows, Integers]:
        """Return the means of networks of one cell and density, and how many are behind each."""
        level = np.round(self.log_density, 3)
        key = np.stack([self.cell.astype(np.float64), level])
        _, first, place = np.unique(key, axis=1, return_index=True, return_inverse=True)
        count = np.bincount(place.reshape(-1))
        mean = np.bincount(place.reshape(-1), self.log_error) / count
        return Rows(self.cell[first], self.log_density[first], mean), count


@dataclass(frozen=True)
class Posterior:
    """A Gaussian posterior.

    Attributes
    ----------
    cells
        The cells, measured or not, in their order.
    mean, covariance
        Of ``z``: theta first, then the cells' unpruned errors, then their shifts.
    noise
        Standard deviation of one network's log error about its cell's own curve.
    departure
        Standard deviation of a cell's curve about the shifted law at one density, which replicates do not average out.
    measured
        Number of measured networks, by cell and log density (three digits).
    """

    cells: Place
    mean: Numbers
    covariance: Numbers
    noise: float
    departure: float = 0.0
    measured: Mapping[tuple[int, float], int] = field(default_factory=dict)

    def draws(self, count: int, seed: int) -> Numbers:
        """Draw ``[count, z]``, as many to one side as to the other."""
        return draw_symmetric(self.mean, _root(self.covariance), count, seed)

    def information(self, cell: int, log_density: Numbers) -> tuple[Integers, Numbers]:
        """Return the coordinates that networks of a cell inform, and the root of their information, a square.

        The information, ``J' W J``, is the root times its transpose; densities may repeat.
        """
        levels, counts = np.unique(np.round(log_density, 3), return_counts=True)
        rows = Rows(np.full(len(levels), cell), levels, np.zeros(len(levels)))
        before = np.array([self.measured.get((cell, level), 0) for level in levels.tolist()])
        known = self._precision(before)
        jacobian = np.concatenate(_evaluate(self.mean, self.cells, rows)[1:]) * np.sqrt(
            self._precision(before + counts) - known
        )
        where = np.r_[np.arange(THETA), THETA + cell, THETA + len(self.cells.depth) + cell]
        return where, _root(jacobian @ jacobian.T)

    def _precision(self, networks: Integers) -> Numbers:
        """Return one over the variance of the mean of some networks of one cell and density."""
        there = np.maximum(networks, 1)
        return np.where(networks > 0, 1 / (self.departure**2 + self.noise**2 / there), 0.0)

    def with_measured(self, cell: int, log_density: Numbers) -> Posterior:
        """Return the posterior with more networks counted as measured."""
        measured = dict(self.measured)
        for level in np.round(log_density, 3).tolist():
            measured[cell, level] = measured.get((cell, level), 0) + 1
        return replace(self, measured=measured)

    def updated(self, where: Integers, root: Numbers) -> Posterior:
        """Return the posterior after measurements that come out as expected."""
        gain, inner = self._learning(where, root)
        return replace(self, covariance=self.covariance - gain @ np.linalg.solve(inner, gain.T))

    def means_after(self, truths: Numbers, where: Integers, root: Numbers, chance: Numbers) -> Numbers:
        """Return the posterior means after measurements, if each of `truths` were true: ``[truths, z]``.

        Parameters
        ----------
        chance
            Standard normal numbers for the noise of the measurements, ``[truths, coordinates informed]``.
        """
        gain, inner = self._learning(where, root)
        surprise = (truths[:, where] - self.mean[where]) @ root + chance
        return np.asarray(self.mean + np.linalg.solve(inner, surprise.T).T @ gain.T)

    def _learning(self, where: Integers, root: Numbers) -> tuple[Numbers, Numbers]:
        """Return the gain of measurements, and the covariance of their outcomes in units of their noise."""
        gain = self.covariance[:, where] @ root
        return gain, np.eye(len(where)) + root.T @ gain[where]


def _root(covariance: Numbers) -> Numbers:
    """Return a root of a covariance that may be flat in some directions."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.clip(values, 0, None)))


def compute_posterior(cells: Place, rows: Rows, guessing: float | None = None) -> Posterior:
    """Return the posterior after some measurements, or none.

    Parameters
    ----------
    guessing
        The error of guessing, where the number of classes is known.
    """
    prior_mean, prior_covariance = _prior(cells, rows, guessing)
    precision = np.asarray(np.linalg.inv(prior_covariance + 1e-10 * np.eye(len(prior_mean))), np.float64)
    noise = _noise(rows)
    points, counts = rows.averaged()
    mean, hessian = _find_mode(cells, points, prior_mean, precision, noise / np.sqrt(counts))
    off = _evaluate(mean, cells, points)[0] - points.log_error
    noise = _at_most(noise, off, counts, len(np.unique(points.cell)))
    departure = _departure(off, noise / np.sqrt(counts))
    scatter = np.sqrt(departure**2 + noise**2 / counts)
    mean, hessian = _find_mode(cells, points, mean, precision, scatter, prior_mean)
    networks = zip(points.cell.tolist(), np.round(points.log_density, 3).tolist(), counts.tolist(), strict=True)
    measured = {(cell, level): count for cell, level, count in networks}
    return Posterior(cells, mean, np.asarray(np.linalg.inv(hessian), np.float64), noise, departure, measured)


def _at_most(noise: float, off: Numbers, counts: Integers, cells: int) -> float:
    """Return the noise, less where points lie much nearer to the law than it would leave them.

    So it is with losses, which scatter by a tenth as much as errors do, while there are no replicates to tell.
    """
    freedom = len(off) - THETA - 2 * cells
    if freedom < FEWEST_FREE:
        return noise
    scatter = float(np.sqrt(counts @ off**2 / freedom))
    return scatter if 0 < scatter < noise * MUCH_NEARER else noise


def _departure(off: Numbers, noise: Numbers) -> float:
    """Return how far points lie from the law beyond noise, shrunk towards the prior while there are few.

    Neighbouring rungs are correlated, so that `ALIKE` points count as one.
    """
    weight = 1 / noise**2
    spent = weight.sum() - float(weight @ weight) / max(weight.sum(), 1e-300) if len(off) > 1 else 0.0
    variance = max(0.0, float(weight @ off**2) - max(0, len(off) - THETA)) / spent if spent > 0 else 0.0
    leaned = (len(off) * variance + ALIKE * DEPARTURE**2) / (len(off) + ALIKE)
    return float(np.sqrt(ALIKE * leaned))


def _prior(cells: Place, rows: Rows, guessing: float | None) -> tuple[Numbers, Numbers]:
    """Return the prior mean and covariance.

    Measured unpruned errors set the kernel (`unpruned`); as measurements they enter later, with all others.
    """
    dense = rows.log_density > -1e-9
    known = np.unique(rows.cell[dense])
    means = np.array([rows.log_error[dense & (rows.cell == cell)].mean() for cell in known.tolist()])
    counts = np.array([(dense & (rows.cell == cell)).sum() for cell in known.tolist()])
    measured = Place(cells.depth[known], cells.width[known], cells.examples[known])
    smooth = GaussianProcess.through(measured, means, _noise(rows) / np.sqrt(np.maximum(counts, 1)))
    alike = smooth.before(cells)
    usual = np.array(PRIOR_MEAN)
    usual[0] += np.log(guessing) if guessing is not None else np.log(0.85)
    count = len(alike.mean)
    mean = np.concatenate([usual, alike.mean, np.zeros(count)])
    covariance = np.diag(np.square(np.r_[PRIOR_SPREAD, np.zeros(count), np.full(count, SHIFT)]))
    covariance[THETA : THETA + count, THETA : THETA + count] = alike.covariance
    return mean, covariance


def _noise(rows: Rows) -> float:
    """Return the relative noise of one network, pooled over replicates at one density."""
    if not len(rows):
        return NOISE
    level = np.round(rows.log_density, 3)
    key = np.unique(np.stack([rows.cell.astype(np.float64), level]), axis=1, return_inverse=True)[1].reshape(-1)
    counts = np.bincount(key)
    means = np.bincount(key, rows.log_error) / counts
    free = int((counts - 1).sum())
    squares = float(np.sum((rows.log_error - means[key]) ** 2))
    # Few pairs say little: pool them with eight degrees of freedom at the usual noise.
    return float(np.sqrt((squares + 8 * NOISE**2) / (free + 8)))


def _evaluate(z: Numbers, cells: Place, rows: Rows) -> tuple[Numbers, Numbers, Numbers]:
    """Return log errors, their derivatives by theta, and those by the cell's unpruned error and shift."""
    count = len(cells.depth)
    unpruned, shift = z[THETA : THETA + count][rows.cell], z[THETA + count :][rows.cell]
    depth, width = np.log(cells.depth)[rows.cell], np.log(cells.width)[rows.cell]
    points = Points(np.zeros(len(rows)), unpruned, rows.log_density - shift, depth, width)
    log_error, jacobian = CORNERED.evaluate(z[None, :THETA], points)
    # The derivatives by log eps_up and log eps_np add up to one; a shift acts like p_prime.
    return log_error[0], jacobian[:, 0], np.stack([1 - jacobian[0, 0], jacobian[2, 0]])


def _find_mode(
    cells: Place, rows: Rows, start: Numbers, precision: Numbers, noise: Numbers, prior: Numbers | None = None
) -> tuple[Numbers, Numbers]:
    """Return the likeliest ``z`` and the curvature there: Levenberg and Marquardt's steps."""
    prior = start if prior is None else prior
    z, damping, count = start.copy(), DAMPING, len(cells.depth)
    parts = [slice(THETA + number * count, THETA + (number + 1) * count) for number in range(2)]

    def normal(at: Numbers) -> tuple[float, Numbers, Numbers]:
        off = at - prior
        hessian, gradient = precision.copy(), precision @ off
        cost = float(off @ gradient) / 2
        if len(rows):
            expected, theta, by_cell = _evaluate(at, cells, rows)
            residual = (expected - rows.log_error) / noise
            theta, by_cell = theta / noise, by_cell / noise
            cost += float(residual @ residual) / 2
            hessian[:THETA, :THETA] += theta @ theta.T
            gradient[:THETA] += theta @ residual
            for i, one in enumerate(by_cell):
                crossed = np.stack([np.bincount(rows.cell, derivative * one, count) for derivative in theta])
                hessian[:THETA, parts[i]] += crossed
                hessian[parts[i], :THETA] += crossed.T
                gradient[parts[i]] += np.bincount(rows.cell, one * residual, count)
                for j, other in enumerate(by_cell):
                    hessian[parts[i], parts[j]] += np.diag(np.bincount(rows.cell, one * other, count))
        return cost, hessian, gradient

    cost, hessian, gradient = normal(z)
    for _ in range(STEPS):
        step = -np.linalg.solve(hessian + damping * np.diag(np.diag(hessian)), gradient)
        if float(np.abs(gradient @ step)) < 1e-9 * (1 + cost):
            break
        trial = z + np.clip(step, -2.0, 2.0)
        new_cost, new_hessian, new_gradient = normal(trial)
        if new_cost < cost:
            z, cost, hessian, gradient = trial, new_cost, new_hessian, new_gradient
            damping = max(damping / 5, 1e-9)
        else:
            damping *= 5
            if damping > 1e9:
                break
    return z, hessian
