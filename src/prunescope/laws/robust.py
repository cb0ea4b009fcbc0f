"""Fits that withstand what happens to networks: weights by replicates, Huber's loss, networks that stand out.

Weights: the mean of twelve networks is surer than one network. A point of ``r`` networks counts
``1 / (t^2 + s^2 / r)``, with ``s`` the noise between replicates and ``t`` how far the law is off beyond it; where all
points have as many networks, all count alike.

Huber's loss: deviations of ``log e`` count by their square up to 1.345 times a robust scale (the median of their
absolute values, over 0.6745), beyond it by their absolute value: a diverged network, or an error three times too low,
pulls a fit no further than any other that is far off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prunescope.laws.data import GroupData, Numbers, PaddedGroups, Points, pad, stack_rows
from prunescope.laws.forms import Form
from prunescope.laws.search import Box
from prunescope.laws.solver import RelativeDeviation, Solved, solve_problem

HUBER = 1.345
# The median of absolute deviations of a normal variable, in its standard deviations; of differences of two.
NORMAL_MEDIAN, NORMAL_PAIR = 0.6745, 0.6745 * np.sqrt(2)
# Rounds in which a robust fit finds its own scale, and the change of coordinates at which it has.
ROUNDS, SETTLED = 100, 1e-7
# Below this scale (of a logarithm) a curve is met exactly and nothing is far off.
LEAST_SCALE = 1e-6
# Noise of replicates beyond which a network stands out, and the change of its error from which that matters.
FAR, MATTERS = 8.0, np.log(1.5)


@dataclass(frozen=True)
class LogDeviation(RelativeDeviation):
    """The sum of squares of the deviations of ``log e``."""

    def fits(self, rows: slice | NDArray[np.int64] | NDArray[np.bool_]) -> LogDeviation:
        """Return the problem of some fits."""
        return LogDeviation(self.form, self.points.fits(rows))

    def _deviation(self, points: Points, theta: Numbers) -> tuple[Numbers, Numbers]:
        log_error, jacobian = self.form.evaluate(theta, points)
        return log_error - points.error, jacobian


@dataclass(frozen=True)
class HuberDeviation(LogDeviation):
    """Huber's loss of the deviations of ``log e``, beyond a threshold that is given.

    Attributes
    ----------
    by_weights
        Whether the curvature is that of reweighted least squares, which always leads downhill, or that of the points
        within the threshold, which ends fast.
    """

    threshold: float
    by_weights: bool

    def fits(self, rows: slice | NDArray[np.int64] | NDArray[np.bool_]) -> HuberDeviation:
        """Return the problem of some fits."""
        return replace(self, points=self.points.fits(rows))

    def _block(self, points: Points, theta: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        residual, jacobian = self._deviation(points, theta)
        size, times = np.abs(residual), 1.0 if points.weight is None else points.weight
        within = size <= self.threshold
        shrunk = np.where(within, 1.0, self.threshold / np.maximum(size, self.threshold))
        loss = np.where(within, residual**2 / 2, self.threshold * (size - self.threshold / 2))
        by_fit = jacobian.transpose(1, 0, 2)
        curvature = times * (shrunk if self.by_weights else within)
        hessian = (by_fit * curvature[:, None, :]) @ by_fit.transpose(0, 2, 1)
        gradient = (by_fit @ (times * shrunk * residual)[:, :, None])[:, :, 0]
        return np.sum(times * loss, axis=1), hessian, gradient


def solve_threshold(
    form: Form, points: Points, start: Numbers, low: Numbers, high: Numbers, threshold: float, tolerance: float = 1e-12
) -> Solved:
    """Return the fits by Huber's loss of log deviations with a given threshold."""
    nothing = np.empty((len(start), 0))
    problem = HuberDeviation(form, points, threshold, True)
    ends = solve_problem(problem, start, nothing, low, high, len(start), tolerance)
    again = replace(problem, by_weights=False)
    closer = solve_problem(again, ends.theta, nothing, low, high, len(start), tolerance)
    # The curvature within the threshold may be none at all: what counts afterwards is that of the weights.
    return solve_problem(problem, closer.theta, nothing, low, high, len(start), tolerance)


def threshold_weights(form: Form, points: Points, theta: Numbers, threshold: float) -> Numbers:
    """Return how often each point counts at the end of a fit with a given threshold."""
    size = np.abs(form.log_error(theta, points) - points.error)
    weight = threshold / np.maximum(size, threshold)
    return weight if points.weight is None else weight * points.weight


def replicate_weights(
    groups: Sequence[GroupData], padded: PaddedGroups, cost: Numbers, seed_noise: Sequence[float | None], free: Numbers
) -> Numbers | None:
    """Return how often each point counts, ``[fits, n]``; None where all points of every group have as many replicates.

    Parameters
    ----------
    cost, free
        Half the sum of squares of each fit in which all points count alike, and its free parameters.
    """
    repeats = padded.column(groups, "repeats").astype(np.float64)
    present = padded.present
    uneven = np.array([noise is not None for noise in seed_noise])
    uneven &= np.where(present, repeats, repeats[:, :1]).max(axis=1) > np.where(present, repeats, np.inf).min(axis=1)
    if not uneven.any():
        return None
    seeds = np.array([noise if noise is not None else 0.0 for noise in seed_noise]) ** 2
    freedom = np.maximum(padded.count - free, 1)
    explained = seeds * np.where(present, 1 / repeats, 0).sum(axis=1) / padded.count
    misfit = np.maximum(2 * cost / freedom - explained, 0)
    variance = misfit[:, None] + seeds[:, None] / repeats
    with np.errstate(divide="ignore"):
        weight = np.where(uneven[:, None] & (variance > 0), 1 / variance, 1.0)
    weight = np.where(present, weight, 0.0)
    return np.asarray(weight * (padded.count / weight.sum(axis=1))[:, None])


def weighted(groups: Sequence[GroupData], weight: Numbers) -> tuple[list[GroupData], PaddedGroups]:
    """Return groups whose points count by ``[groups, n]``, padding left out, and the same side by side."""
    anew = [replace(group, weight=row[: len(group)]) for group, row in zip(groups, weight, strict=True)]
    return anew, pad(anew)


def solve_huber(form: Form, padded: PaddedGroups, box: Box, start: Numbers) -> tuple[Solved, Numbers]:
    """Return the fits by Huber's loss, and how often each point counts at their ends.

    Reweighted least squares: each round solves with the weights that the deviations and the scale of the last one give.
    """
    points, present, theta = padded.points, padded.present, start
    prior = points.weight if points.weight is not None else present.astype(np.float64)
    prior = np.broadcast_to(prior, present.shape)
    nothing = np.empty((len(theta), 0))

    def next_round(theta: Numbers) -> tuple[Solved, Numbers]:
        residual = form.log_error(theta, points) - points.error
        standard = np.where(present, np.abs(residual) * np.sqrt(prior), np.inf)
        scale = _lower_median(standard, padded.count) / NORMAL_MEDIAN
        limit = HUBER * np.maximum(scale, LEAST_SCALE)[:, None]
        weight = prior * np.minimum(1.0, limit / np.maximum(np.where(present, standard, 0.0), 1e-300))
        problem = LogDeviation(form, replace(points, weight=weight))
        return solve_problem(problem, theta, nothing, box.low, box.high, len(theta), 1e-12), weight

    solved, weight = next_round(theta)
    for _ in range(ROUNDS - 1):
        if np.abs(solved.theta - theta).max() < SETTLED:
            break
        theta = solved.theta
        solved, weight = next_round(theta)
    return solved, weight


def _lower_median(values: Numbers, count: NDArray[np.int64]) -> Numbers:
    """Return the median of the first ``count`` values of each row in ascending order."""
    ordered = np.sort(values, axis=1)
    return np.asarray(np.take_along_axis(ordered, (np.maximum(count - 1, 0) // 2)[:, None], axis=1)[:, 0])


@dataclass(frozen=True)
class StandingOut:
    """A network whose error is far from that of its replicates.

    Attributes
    ----------
    point, error, usual
        The point it belongs to, its error, and the median error of its replicates.
    times
        How far off it is in standard deviations of the noise between replicates, found robustly.
    """

    point: int
    replicate: int
    error: float
    usual: float
    times: float


def find_standing_out(groups: Sequence[GroupData]) -> list[list[StandingOut]]:
    """Return the networks of each group that stand out among three replicates or more, the farthest first.

    The yardstick is the median difference between two replicates, of the whole group or of the network's own cell,
    whichever is larger, so that no single network inflates it.
    """
    rows, results = stack_rows(groups), [list[StandingOut]() for _ in groups]
    repeats, point = rows.repeats, rows.point
    if repeats.max(initial=0) < 3:
        return results
    logs = np.log(rows.error)
    order = np.lexsort((logs, point))
    ends = np.cumsum(repeats)
    middle = ends - repeats + (repeats - 1) // 2
    # The median, or the two middle values' mean: of three with one far off it is one of the others.
    median = (logs[order][middle] + logs[order][ends - 1 - (repeats - 1) // 2]) / 2
    off = logs - median[point]
    suspect = (repeats[point] >= 3) & (np.abs(off) > MATTERS)
    if not suspect.any():
        return results
    cell = rows.cell + np.cumsum([0, *(group.cells for group in groups[:-1])])[rows.group]
    pairs, of_pair = _pairs(logs[order], point[order])
    row_of_pair = order[of_pair]
    by_group = _medians(pairs, rows.group[row_of_pair], len(groups)) / NORMAL_PAIR
    by_cell = _medians(pairs, cell[row_of_pair], int(cell.max()) + 1) / NORMAL_PAIR
    noise = np.maximum(np.maximum(by_group[rows.group], by_cell[cell]), LEAST_SCALE)
    times = np.abs(off) / noise
    for row in sorted(np.flatnonzero(suspect & (times > FAR)).tolist(), key=lambda row: -times[row]):
        outlier = StandingOut(
            point=int(rows.local_point[row]),
            replicate=int(rows.replicate[row]),
            error=float(rows.error[row]),
            usual=float(np.exp(median[point[row]])),
            times=float(times[row]),
        )
        results[int(rows.group[row])].append(outlier)
    return results


def _pairs(logs: Numbers, point: NDArray[np.int64]) -> tuple[Numbers, NDArray[np.int64]]:
    """Return the absolute differences of all pairs within points, whose rows stand together, and a row of each."""
    differences, rows = [], []
    for apart in range(1, int(np.bincount(point).max())):
        together = np.flatnonzero(point[apart:] == point[:-apart])
        differences.append(np.abs(logs[together + apart] - logs[together]))
        rows.append(together)
    return np.concatenate(differences), np.concatenate(rows)


def _medians(values: Numbers, label: NDArray[np.int64], labels: int) -> Numbers:
    """Return the median of the values under each label; 0 where there are none."""
    order = np.lexsort((values, label))
    counts = np.bincount(label, minlength=labels)
    ends = np.cumsum(counts)
    middle = np.minimum(np.maximum(ends - counts, ends - 1 - counts // 2), len(values) - 1)
    return np.where(counts > 0, values[order][middle], 0.0)
