"""The means by which the uncertainty of a fit is found, each for many fits at once; `intervals` chooses among them.

- Linear: from the curvature at the optimum, which also shows bounds and flat directions. With eight cells or more the
  covariance is that of whole cells, whose points move together; with fewer, points count as independent.
- Profile: how far each parameter can go while the others make up for it. This finds a direction that the data hardly
  determine: the interval then runs into the box, and says so, where a linear one would look precise.
- Resampling: whole cells, with all their ladders, drawn with replacement and fitted again. The points of one cell are
  not independent: they share networks, a subsample and a measured unpruned error. So whole cells are drawn; where one
  member was trained on several numbers of examples, all cells of a member, as they share how it departs from the law.
- Draws: coordinates that fit about as well as the best, which predictions are spread over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from prunescope.distributions import quantile
from prunescope.laws.data import GroupData, Integers, Numbers, PaddedGroups
from prunescope.laws.forms import Form
from prunescope.laws.free_plateaus import FreePlateaus, solve_free_plateaus
from prunescope.laws.search import AT_BOUND, Box
from prunescope.laws.solver import Solved, deviation, solve

# Cells from which on whole cells are resampled, and their scatter is trusted.
ENOUGH_CELLS = 8
# Standard deviations (of logarithms, or of an exponent) beyond which the data do not determine a parameter.
UNKNOWN = 3.0
# Share of a flat direction from which on a coordinate lies in it.
FLAT = 0.1
# Steps outward from the best until the cost has risen enough, and inward from there.
OUTWARD, INWARD = 12, 6
PROPOSALS, PLAUSIBLE_DRAWS, STATIONS = 1200, 100, 4
# Added to the density of proposals, so that no stray proposal outweighs all others.
FLOOR = 2e-3
# Standard deviation (of a logarithm, or an exponent) beyond which no proposal goes.
WIDEST = 1.5


@dataclass(frozen=True)
class LinearIntervals:
    """Linear uncertainty of a batch of fits.

    Attributes
    ----------
    covariance, freedom
        Of the coordinates, 0 where fixed or at a bound, very large along flat directions; the degrees of freedom.
    bound
        Which free coordinates stand at a bound, -1 at the lower, 1 at the upper.
    flat
        The direction in which the sum of squares is nearly constant, zero where there is none.
    """

    covariance: Numbers
    freedom: Numbers
    bound: NDArray[np.int8]
    flat: Numbers


@dataclass(frozen=True)
class Uncertainty:
    """What is known of one fit's coordinates.

    Attributes
    ----------
    low, high, known, by
        Interval of each coordinate, whether it says anything, and how it was computed.
    draws
        Coordinates about as likely as the best, for predictions.
    theta_by_plateaus
        The estimate with unknown plateaus; None where it was not made.
    shifts
        How far, with each draw, a lone cell's plateau lies above its unpruned error, in logarithms; None is nowhere.
    """

    low: Numbers
    high: Numbers
    known: NDArray[np.bool_]
    by: str
    draws: Numbers
    theta_by_plateaus: Numbers | None = None
    shifts: Numbers | None = None


@dataclass(frozen=True)
class IntervalTask:
    """A batch of solved fits, and what their uncertainty follows from.

    Attributes
    ----------
    delta
        Where Huber's loss turns, if that was given: each resample is fitted by it again.
    noise, seed_noise
        Relative standard deviation of one network's error, for each group; between replicates, None without any.
    persistence
        Correlation of replicates' deviations between neighbouring rungs, for each group.
    """

    form: Form
    groups: Sequence[GroupData]
    padded: PaddedGroups
    box: Box
    solved: Solved
    linear: LinearIntervals
    noise: Sequence[float]
    seed_noise: Sequence[float | None]
    persistence: Numbers
    ladders: Sequence[int]
    level: float
    draws: int
    seed: int
    delta: float | None = None

    @cached_property
    def residual(self) -> Numbers:
        """The relative deviation of the fits from their points; of padding that of a point that stands there."""
        return deviation(self.form, self.padded.points, self.solved.theta)[0]


def linear_intervals(form: Form, padded: PaddedGroups, solved: Solved, box: Box) -> LinearIntervals:
    """Return the linear uncertainty of each fit."""
    points, theta = padded.points, solved.theta
    free = box.free
    at_low, at_high = theta - box.low <= AT_BOUND * box.room, box.high - theta <= AT_BOUND * box.room
    bound = np.where(free & at_high, 1, np.where(free & at_low, -1, 0)).astype(np.int8)
    freedom = np.maximum(padded.informative - free.sum(axis=1), 0)
    variance = 2 * solved.cost / np.maximum(freedom, 1)
    inverse, flat = invert_hessian(solved.hessian, free & (bound == 0))
    enough = padded.clusters >= ENOUGH_CELLS
    covariance = variance[:, None, None] * inverse
    if enough.any():
        residual, jacobian = deviation(form, points, theta)
        if points.weight is not None:
            residual = residual * points.weight
        grown = (padded.clusters / np.maximum(padded.clusters - 1, 1))[:, None, None]
        clustered = inverse @ _meat(residual * jacobian, padded) @ inverse * grown
        covariance = np.where(enough[:, None, None], clustered, covariance)
    freedom = np.where(enough, padded.clusters - 1, freedom).astype(np.float64)
    return LinearIntervals(covariance, freedom, bound, flat)


def invert_hessian(hessian: Numbers, moving: NDArray[np.bool_]) -> tuple[Numbers, Numbers]:
    """Return the inverse over the moving coordinates, very large where flat, and the flat direction of each fit."""
    moving_pairs = moving[:, :, None] & moving[:, None, :]
    scale = np.sqrt(np.maximum(np.where(moving, np.einsum("fii->fi", hessian), 1.0), 1e-300))
    scaled = np.where(moving_pairs, hessian / (scale[:, :, None] * scale[:, None, :]), 0.0)
    np.einsum("fii->fi", scaled)[...] = 1.0
    values, vectors = np.linalg.eigh(scaled)
    # Beyond this the direction comes from rounding, not from data.
    flat = np.where(values[:, :1] < 1e-9, np.abs(vectors[:, :, 0]) > FLAT, False)
    inverse_values = 1 / np.maximum(values, 1e-9)
    inverse = np.einsum("fik,fk,fjk->fij", vectors, inverse_values, vectors) / (scale[:, :, None] * scale[:, None, :])
    return np.where(moving_pairs, inverse, 0.0), np.where(flat & moving, vectors[:, :, 0], 0.0)


def _meat(scores: Numbers, padded: PaddedGroups) -> Numbers:
    """Return ``sum of s s'`` for each fit, ``s`` being the sum of ``[coordinates, fits, n]`` in a cluster of cells."""
    count, clusters, fits = len(scores), len(padded.group_of_cluster), len(padded.count)
    index = padded.cluster.ravel()
    sums = np.array([np.bincount(index, score.ravel(), clusters) for score in scores])
    meat = np.empty((fits, count, count))
    for row in range(count):
        for column in range(row + 1):
            meat[:, row, column] = np.bincount(padded.group_of_cluster, sums[row] * sums[column], fits)
            meat[:, column, row] = meat[:, row, column]
    return meat


@dataclass(frozen=True)
class Profile:
    """Ends of the intervals, whether they are open (the cost never rises enough), and the fits there.

    All are ``[fits, coordinates]``; `ends`, the fits, are ``[fits, 2 * coordinates, coordinates]``.
    """

    low: Numbers
    high: Numbers
    open_low: NDArray[np.bool_]
    open_high: NDArray[np.bool_]
    ends: Numbers


Minimise = Callable[[Integers, Numbers, Numbers, Numbers], tuple[Numbers, Numbers]]


def profile_intervals(
    theta: Numbers, cost: Numbers, box: Box, rise: Numbers, reach: Numbers, minimise: Minimise
) -> Profile:
    """Follow each coordinate outward until the cost has risen enough.

    Parameters
    ----------
    rise, reach
        ``[fits, coordinates]``: by how much the cost may rise, and a guess of how far that is.
    minimise
        Given which fits, where they start and the box of each: the lowest cost, and where it lies.
    """
    fits, count = theta.shape
    coordinate = np.tile(np.repeat(np.arange(count), 2), fits)
    sign = np.tile(np.array([-1.0, 1.0]), fits * count)
    fit = np.repeat(np.arange(fits), 2 * count)
    low, high = box.low[fit], box.high[fit]
    tasks = np.arange(len(fit))
    best = theta[fit]
    centre, limit = best[tasks, coordinate], np.where(sign < 0, low[tasks, coordinate], high[tasks, coordinate])
    allowed = rise[fit, coordinate]
    inside, inside_rise, inside_theta = centre.copy(), np.zeros(len(fit)), best.copy()
    outside, outside_rise = limit.copy(), np.full(len(fit), np.nan)
    step = np.clip(reach[fit, coordinate], 1e-6, 1.0)
    fixed = low[tasks, coordinate] == high[tasks, coordinate]
    open_end = centre == limit
    live = np.flatnonzero(~open_end & ~fixed)

    def rise_at(rows: Integers, at: Numbers) -> tuple[Numbers, Numbers]:
        bottom, top, start = low[rows].copy(), high[rows].copy(), inside_theta[rows].copy()
        fit_rows = np.arange(len(rows))
        for side in (bottom, top, start):
            side[fit_rows, coordinate[rows]] = at
        new_cost, end = minimise(fit[rows], start, bottom, top)
        return new_cost - cost[fit[rows]], end

    for turn in range(OUTWARD + INWARD):
        if turn == OUTWARD:
            live = live[~np.isnan(outside_rise[live])]
        if not len(live):
            break
        bracketed = ~np.isnan(outside_rise[live])
        away = inside[live] + sign[live] * step[live]
        past = sign[live] * (away - limit[live]) >= 0
        straight = _crossing(live, inside, inside_rise, outside, outside_rise, allowed)
        at = np.where(bracketed, straight, np.where(past, limit[live], away))
        risen, ends = rise_at(live, at)
        below = risen < allowed[live]
        rows = live[below]
        inside[rows], inside_rise[rows], inside_theta[rows] = at[below], np.maximum(risen[below], 0), ends[below]
        rows = live[~below]
        outside[rows], outside_rise[rows] = at[~below], risen[~below]
        step[live[below]] *= 2
        arrived = below & (at == limit[live])
        open_end[live[arrived]] = True
        close = np.abs(risen - allowed[live]) <= 0.01 * allowed[live]
        gap = np.abs(outside[live] - inside[live])
        narrow = ~np.isnan(outside_rise[live]) & (gap < 1e-3 * (1e-3 + np.abs(inside[live] - centre[live])))
        live = live[~(arrived | close | narrow)]
    # Where the steps ran out before the bound, as far as is known the interval is open.
    open_end |= ~fixed & np.isnan(outside_rise) & (inside_rise < 0.9 * allowed)
    crossing = _crossing(tasks, inside, inside_rise, outside, outside_rise, allowed)
    edge = np.where(open_end, limit, np.where(np.isnan(outside_rise), inside, crossing))
    grid = edge.reshape(fits, count, 2)
    opened = open_end.reshape(fits, count, 2)
    ends = inside_theta.reshape(fits, 2 * count, count)
    return Profile(grid[..., 0], grid[..., 1], opened[..., 0], opened[..., 1], ends)


def _crossing(
    rows: Integers,
    inside: Numbers,
    inside_rise: Numbers,
    outside: Numbers,
    outside_rise: Numbers,
    allowed: Numbers,
) -> Numbers:
    """Return where the root of the rise, which is nearly straight, would cross what is allowed."""
    start, end = np.sqrt(inside_rise[rows]), np.sqrt(np.maximum(outside_rise[rows], 1e-300))
    share = (np.sqrt(allowed[rows]) - start) / np.maximum(end - start, 1e-300)
    share = np.clip(np.nan_to_num(share, nan=0.5), 0.02, 0.98)
    return np.asarray(inside[rows] + share * (outside[rows] - inside[rows]))


def draw_cells(group: GroupData, draws: int, seed: int) -> Numbers:
    """Return how often each cell is drawn, ``[draws, cells]``; cells of one cluster are drawn together."""
    count = group.clusters
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), draws)
    return drawn[:, group.cluster_of_cell].astype(np.float64)


def refit_draws(form: Form, group: GroupData, theta: Numbers, box: Box, weights: Numbers) -> Numbers:
    """Return the coordinates fitted to each draw, with the unpruned errors as they are."""
    size = max(1, 4_000_000 // len(group))
    thetas = []
    for first in range(0, len(weights), size):
        weight = weights[first : first + size][:, group.cell]
        if group.weight is not None:
            weight = weight * group.weight
        start = np.repeat(theta[None], len(weight), axis=0)
        thetas.append(solve(form, replace(group.points, weight=weight), start, box.low, box.high, 1e-8).theta)
    return np.concatenate(thetas)


def refit_draws_with_plateaus(
    problem: FreePlateaus, theta: Numbers, plateaus: Numbers, box: Box, weights: Numbers
) -> Numbers:
    """Return the coordinates fitted to each draw, with each cell's plateau free."""
    start = np.repeat(theta[None], len(weights), axis=0)
    return solve_free_plateaus(replace(problem, cell_weight=weights), start, box.low, box.high, plateaus[None]).theta


def linear_draws(theta: Numbers, covariance: Numbers, box: Box, count: int, seed: int) -> Numbers:
    """Return ``[fits, count, coordinates]`` from the linear approximation, kept in the box."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.clip(values, 0, WIDEST**2))[:, None, :]
    random = np.random.default_rng(seed).standard_normal((count, theta.shape[1]))
    draws = theta[:, None, :] + np.einsum("fij,dj->fdi", root, random)
    return np.asarray(np.clip(draws, box.low[:, None, :], box.high[:, None, :]))


def plausible_draws(
    costs_of: Callable[[Numbers], tuple[Numbers, Numbers]],
    theta: Numbers,
    cost: float,
    variance: float,
    covariance: Numbers,
    ends: Numbers,
    box: Box,
    seed: int,
) -> tuple[Numbers, Numbers]:
    """Return draws weighted by how well they fit (sampling, importance, resampling), and what goes along with each.

    Parameters
    ----------
    costs_of
        The cost at each of many coordinates, and how far the plateaus move along.
    variance
        Residual variance that turns a rise of the cost into a likelihood.
    ends
        Ends of the profile: where proposals also begin, so that flat directions are walked along.
    """
    random = np.random.default_rng(seed)
    free = (box.low < box.high)[0]
    # Proposals scatter about the best, about the ends, and about places on the way there.
    along = np.repeat(np.linspace(0, 1, STATIONS), len(ends))[:, None]
    centres = theta + along * (np.tile(ends, (STATIONS, 1)) - theta)
    values, vectors = np.linalg.eigh(covariance + np.diag(np.where(free, 1e-10, 0.0)))
    root = vectors * np.sqrt(np.clip(values, 0, WIDEST**2))
    middle = centres[random.integers(len(centres), size=PROPOSALS)]
    proposed = middle + random.standard_normal((PROPOSALS, len(theta))) @ root.T
    proposed = np.clip(proposed, box.low[0], box.high[0])
    with np.errstate(all="ignore"):
        costs, shifts = costs_of(proposed)
        weight = np.exp(-(costs - cost) / max(variance, 1e-30)) / _density(proposed, centres, root, free)
    weight = np.nan_to_num(weight, nan=0.0, posinf=0.0)
    if not weight.sum() > 0:
        return np.repeat(theta[None], PLAUSIBLE_DRAWS, axis=0), np.zeros(PLAUSIBLE_DRAWS)
    at = (np.arange(PLAUSIBLE_DRAWS) + 0.5) / PLAUSIBLE_DRAWS
    picked = np.searchsorted(np.cumsum(weight) / weight.sum(), at)
    picked = np.minimum(picked, PROPOSALS - 1)
    # The ends themselves are as far as the data allow, and so belong to what is possible.
    return np.concatenate([proposed[picked], ends]), np.concatenate([shifts[picked], costs_of(ends)[1]])


def _density(proposed: Numbers, centres: Numbers, root: Numbers, free: NDArray[np.bool_]) -> Numbers:
    inverse = np.linalg.pinv(root[free], rcond=1e-8)
    distance = (proposed[:, None, free] - centres[None, :, free]) @ inverse.T
    squared = np.minimum(np.einsum("pci,pci->pc", distance, distance), 1200.0)
    return np.asarray(np.exp(-0.5 * squared).mean(axis=1) + FLOOR)


def t_quantile(level: float, freedom: Numbers | float) -> Numbers:
    """Return how many standard deviations to each side hold a share ``level`` of Student's t."""
    values, place = np.unique(np.asarray(freedom), return_inverse=True)
    quantiles = np.array([quantile(level, max(1, round(float(value)))) for value in values])
    return quantiles[place.reshape(np.shape(freedom))]
