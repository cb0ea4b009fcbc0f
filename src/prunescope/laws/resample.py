"""Uncertainty from resampling whole cells with all their ladders, and what noise does to the estimate.

Points of one cell are not independent: they share networks, a subsample, and a measured unpruned error. So whole cells
are drawn with replacement, never points. Resampling shows how much an estimate scatters, but not that it is pulled:
noise in the unpruned errors, which stand on the right-hand side of the law, and in the errors that are divided by moves
every estimate the same way. `pull` finds by how much, by simulating the measurement.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from prunescope.laws.batch import Form, Numbers, Points
from prunescope.laws.kinds import Box
from prunescope.laws.measured import Measured
from prunescope.laws.solve import deviation, solve

SIMULATED, ROUNDS = 32, 3


def resampled(form: Form, group: Measured, theta: Numbers, where: Box, draws: int, seed: int) -> Numbers:
    """Return the coordinates fitted to each of many draws of whole cells."""
    random = np.random.default_rng(seed)
    chosen = random.multinomial(group.cells, np.full(group.cells, 1 / group.cells), draws)
    size = max(1, 4_000_000 // len(group))
    found = []
    for first in range(0, draws, size):
        weight = chosen[first : first + size][:, group.cell].astype(np.float64)
        start = np.repeat(theta[None], len(weight), axis=0)
        found.append(solve(form, replace(group.points, weight=weight), start, where.low, where.high, 1e-8).theta)
    return np.concatenate(found)


@dataclass(frozen=True)
class Pull:
    """What noise does to an estimate.

    Attributes
    ----------
    bias
        How far each coordinate is probably pulled from the truth.
    gap
        How far the law lies above the measured error at density 1, in the mean over cells, as a fraction.
    """

    bias: Numbers
    gap: float


def pull(form: Form, group: Measured, theta: Numbers, where: Box, noise: float, seed: int) -> Pull:
    """Find the truth that, measured with noise and fitted, would give this estimate (indirect inference).

    Two readings of the unpruned error are tried, and the one under which the pruned networks fit better is taken: that
    it is the low plateau, as Eq. 1 and 2 have it, or that it is the law's own error at density 1. They differ where
    an unpruned network is so small that it has no low plateau.
    """
    points = group.points
    first = np.unique(group.cell, return_index=True)[1]
    at_one = replace(points.part(first), density=np.zeros(len(first)))
    over = form.evaluate(theta[None], at_one)[0][0] - at_one.unpruned
    derived = group.dense_repeats[first] > 0
    law, start = _reads_as_law(form, group, theta, where, at_one) if derived.any() else (False, theta)
    spread = noise / np.sqrt(group.repeats)
    random = np.random.default_rng(seed)
    half = random.standard_normal((SIMULATED // 2, len(group)))
    scatter = np.log1p(np.clip(spread * np.concatenate([half, -half]), -0.9, None))
    half = random.standard_normal((SIMULATED // 2, len(first)))
    own = noise / np.sqrt(np.maximum(group.dense_repeats[first], 1)) * np.concatenate([half, -half])
    dense = np.flatnonzero(points.density > -1e-9)
    weight = np.bincount(group.cell[dense], group.repeats[dense], len(first))
    shared = derived & (weight >= group.dense_repeats[first])
    truth = start.copy()
    for _ in range(ROUNDS):
        unpruned = plateau(form, truth, at_one) if law else at_one.unpruned
        base = form.evaluate(truth[None], replace(points, unpruned=unpruned[group.cell]))[0][0]
        if not law:
            base[dense] = np.where(derived[group.cell[dense]], points.unpruned[dense], base[dense])
        error = base + scatter
        measured = np.broadcast_to(at_one.unpruned, own.shape) + np.where(derived, np.log1p(own), 0.0)
        if shared.any():
            sums = np.zeros_like(measured)
            np.add.at(sums, (slice(None), group.cell[dense]), group.repeats[dense] * np.exp(error[:, dense]))
            with np.errstate(divide="ignore", invalid="ignore"):
                measured = np.where(shared, np.log(sums / weight), measured)
        simulated = Points(error, measured[:, group.cell], points.density, points.depth, points.width)
        ends = solve(form, simulated, np.repeat(theta[None], SIMULATED, axis=0), where.low, where.high, 1e-8)
        truth = np.clip(truth + (theta - ends.theta.mean(axis=0)), where.low[0], where.high[0])
    return Pull(theta - truth, float(np.expm1(over).mean()))


def plateau(form: Form, theta: Numbers, at_one: Points) -> Numbers:
    """Return the low plateaus (logarithms) from which the law at density 1 gives the unpruned errors."""
    low, high = at_one.unpruned - 5.0, at_one.unpruned.copy()
    for _ in range(50):
        middle = (low + high) / 2
        above = form.evaluate(theta[None], replace(at_one, unpruned=middle))[0][0] > at_one.unpruned
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return (low + high) / 2


def _reads_as_law(form: Form, group: Measured, theta: Numbers, where: Box, at_one: Points) -> tuple[bool, Numbers]:
    """Whether the unpruned errors are better read as the law's at density 1, and the fit under that reading."""
    points, found = group.points, theta
    pruned = points.density < -1e-9
    if not pruned.any():
        return False, theta
    for _ in range(6):
        adjusted = replace(points, unpruned=plateau(form, found, at_one)[group.cell])
        found = solve(form, adjusted, found[None], where.low, where.high, 1e-8).theta[0]
    plain = deviation(form, points.part(pruned), theta[None])[0]
    read = deviation(form, adjusted.part(pruned), found[None])[0]
    better = float(np.sum(read**2)) < float(np.sum(plain**2))
    return better, found if better else theta
