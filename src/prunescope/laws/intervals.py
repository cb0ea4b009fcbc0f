"""From a batch of fits to intervals, by the means that each group's data allow.

- Eight cells or more: whole cells are drawn again and again.
- Fewer: the profile of the sum of squares.
- Wherever resampling leaves a parameter in doubt the profile is followed as well, and the wider interval counts.
- Very much data: the linear ones.

Deviations that persist along ladders widen them where points, and not cells, count as independent (`replicates`). A
test set that all networks share moves all errors together: that part, and what the form misses at the
same densities of all curves, are added at the end (`_widen`).

For Eq. 1 and 2 all of them take the low plateaus of the cells as unknown (`free_plateaus`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from prunescope.distributions import normal_quantile
from prunescope.errors import counted
from prunescope.laws.data import GroupData, Integers, Numbers
from prunescope.laws.example_spread import example_spread
from prunescope.laws.forms import EXPONENTS
from prunescope.laws.free_plateaus import FreePlateaus, free_plateaus, reduced_hessian, solve_free_plateaus
from prunescope.laws.replicates import inflation
from prunescope.laws.robust import solve_threshold
from prunescope.laws.search import AT_BOUND
from prunescope.laws.solver import Solved, deviation
from prunescope.laws.uncertainty import (
    ENOUGH_CELLS,
    UNKNOWN,
    IntervalTask,
    Profile,
    Uncertainty,
    draw_cells,
    invert_hessian,
    linear_draws,
    plausible_draws,
    profile_intervals,
    refit_draws,
    refit_draws_with_plateaus,
    t_quantile,
)

# Standard deviations (of logarithms, or of an exponent) beyond which the profile is followed too.
DOUBTFUL = 0.2
# Drop of the sum of squares, in units of the residual variance, from which on the other reading is taken.
CLEARLY = 4.0
# An interval this wide tells nothing: ratio of its ends (as a logarithm), and difference of exponents.
TELLS_NOTHING, TELLS_NO_EXPONENT = float(np.log(1000.0)), 3.0
NOT_ASKED = "not asked for"
# How far along log density departures of all curves from the law reach.
DEPARTURE_REACH = 0.67
# Standard errors by which the scatter of deviations must exceed that of noise; a single curve follows so much of a
# departure that what is left must be multiplied, as a variance.
BEYOND_CHANCE, LOCAL = 1.0, 3.0
# Draws that go with quick intervals.
QUICK_DRAWS = 64
# Bounds that mean something: an interval may end there.
MEANINGFUL = ("eps_up", "eps_0")


def find_intervals(task: IntervalTask, manner: str) -> tuple[list[Uncertainty], list[Uncertainty]]:
    """Return the uncertainty of each fit of a batch, and the linear one beside it."""
    rows = range(len(task.groups))
    if manner == "none":
        silent = np.zeros(task.solved.theta.shape[1], bool)
        linear = _linear(task, np.array(rows))
        none = [replace(uncertainty, known=silent, by=NOT_ASKED, draws=uncertainty.draws[:0]) for uncertainty in linear]
        return none, none
    cells, sound = task.padded.cells, task.linear.freedom > 0
    if not task.form.has_plateaus:
        many, spread = (cells >= ENOUGH_CELLS) & (manner != "quick"), _plain_test_set_spread(task)
        quickly = _linear(task, np.array(rows))
        resampled = [_resample(task, row) if many[row] else quickly[row] for row in rows]
        return _widen(task, rows, spread, resampled), _widen(task, rows, spread, quickly)
    unsound = np.flatnonzero(~sound)
    quick = dict(zip(unsound.tolist(), _linear(task, unsound), strict=True))
    usual = dict(quick)
    lone = np.flatnonzero((cells == 1) & sound).tolist()
    batches: list[list[int]] = [[row] for row in np.flatnonzero((cells > 1) & sound).tolist()]
    for batch in [lone, *batches] if lone else batches:
        best = _free_plateaus(task, batch, both_readings=manner != "quick")
        spread = np.hypot(_test_set_spread(task, batch, best), _form_spread(task, batch, best))
        linear = _widen(task, batch, spread, _linear(task, np.array(batch), best))
        quick |= zip(batch, linear, strict=True)
        if manner == "quick":
            usual |= zip(batch, linear, strict=True)
        elif cells[batch[0]] >= ENOUGH_CELLS:
            resampled = [_resample_with_plateaus(task, batch[0], best)]
            usual[batch[0]] = _widen(task, batch, spread, resampled)[0]
        else:
            usual |= zip(batch, _widen(task, batch, spread, _profile_with_draws(task, batch, best)), strict=True)
    return [usual[row] for row in rows], [quick[row] for row in rows]


@dataclass(frozen=True)
class _Best:
    """The best with unknown plateaus, of one group or of many of one cell each."""

    problem: FreePlateaus
    solved: Solved
    variance: Numbers
    freedom: Numbers
    inverse: Numbers
    flat: NDArray[np.bool_]

    @property
    def covariance(self) -> Numbers:
        """Of the coordinates."""
        return np.asarray(self.inverse * self.variance[:, None, None])


def _linear(task: IntervalTask, rows: Integers, best: _Best | None = None) -> list[Uncertainty]:
    """Return the quick intervals of some fits, about the best with unknown plateaus where that is given."""
    box = task.box.of(rows)
    if best is None:
        theta, covariance, freedom = task.solved.theta[rows], task.linear.covariance[rows], task.linear.freedom[rows]
    else:
        theta, covariance, freedom = best.solved.theta, best.covariance, best.freedom
    sd = np.sqrt(np.maximum(np.einsum("fii->fi", covariance), 0))
    reach = t_quantile(task.level, freedom)[:, None] * sd
    known = box.free & (task.linear.bound[rows] == 0) & (sd > 0) & (sd <= UNKNOWN)
    known &= (freedom > 0)[:, None]
    low, high = np.maximum(theta - reach, box.low), np.minimum(theta + reach, box.high)
    known &= _are_narrow(task, low, high)
    draws = linear_draws(theta, covariance, box, QUICK_DRAWS, task.seed)
    by = "linear, from the curvature at the optimum"
    estimates = theta if task.form.has_plateaus else [None] * len(theta)
    return [
        Uncertainty(low[place], high[place], known[place], by, draws[place], estimates[place])
        for place in range(len(theta))
    ]


def _free_plateaus(task: IntervalTask, rows: Sequence[int], both_readings: bool) -> _Best:
    """Solve with the unpruned errors read as points of the law, and as low plateaus where that fits clearly better.

    Without ``both_readings`` only the first is tried.
    """
    groups, noise, box = [task.groups[row] for row in rows], [task.noise[row] for row in rows], task.box.of(rows)
    start = task.solved.theta[rows]
    padded = task.padded if len(rows) == len(task.groups) else None
    problem = free_plateaus(task.form, groups, noise, True, padded)
    solved = solve_free_plateaus(problem, start, box.low, box.high)
    if both_readings:
        plateau_problem = free_plateaus(task.form, groups, noise, False, padded)
        as_plateau = solve_free_plateaus(plateau_problem, start, box.low, box.high)
        roughly = 2 * solved.cost / np.maximum(task.padded.count[rows], 1)
        better = 2 * (solved.cost - as_plateau.cost) > CLEARLY * roughly
        if better.any():
            problem = problem.replace_fits(better, plateau_problem)
            solved = solved.replace_fits(better, as_plateau)
    freedom = np.maximum(task.padded.informative[rows] - box.free.sum(axis=1), 1)
    variance = _point_variance(task, rows, np.maximum(2 * solved.cost / freedom, 1e-20))
    inside = (solved.theta - box.low > AT_BOUND * box.room) & (box.high - solved.theta > AT_BOUND * box.room)
    inverse, direction = invert_hessian(reduced_hessian(problem, solved)[0], box.free & inside)
    return _Best(problem, solved, variance, freedom.astype(np.float64), inverse, direction != 0)


def _point_variance(task: IntervalTask, rows: Sequence[int], variance: Numbers) -> Numbers:
    """Return the variance of a point, as large as it would have to be if neighbours were independent.

    A curve follows deviations that persist, so that those of replicates tell more of them than what is left.
    """
    persistence = task.persistence[rows]
    if not persistence.any():
        return variance
    padded = task.padded
    repeats = padded.column(task.groups, "repeats")[rows]
    usual = (repeats * padded.present[rows]).sum(axis=1) / padded.count[rows]
    seeds = np.array([task.seed_noise[row] or 0.0 for row in rows]) ** 2 / usual
    return np.asarray(np.where(persistence > 0, np.maximum(variance, seeds) * inflation(persistence), variance))


def _form_spread(task: IntervalTask, rows: Sequence[int], best: _Best) -> Numbers:
    """Return the standard deviation of each coordinate that the error of the form leaves, ``[fits, coordinates]``.

    Where all curves depart from the law at the same densities, as with a dip, no resampling of cells shows it. Such a
    departure is taken for a Gaussian process of the density, as large as the deviations in the mean over cells are
    beyond what noise explains.
    """
    spread = np.zeros(best.solved.theta.shape)
    by_point = residual = None
    for place, row in enumerate(rows):
        group, noise = task.groups[row], task.seed_noise[row]
        if group.cells == 1 and noise is None:
            continue
        if by_point is None or residual is None:
            by_point = best.problem.responses(best.solved.theta, best.solved.nuisance)[0]
            plateaus = best.solved.nuisance[:, best.problem.cell]
            points = replace(best.problem.points, unpruned=plateaus)
            residual = best.problem.form.log_error(best.solved.theta, points) - points.error
        count = len(group)
        level, of_point = np.unique(np.round(group.points.density, 2), return_inverse=True)
        of_point = of_point.reshape(-1)
        cells = np.bincount(of_point)
        off = np.bincount(of_point, residual[place, :count]) / cells
        within = float(np.sum((residual[place, :count] - off[of_point]) ** 2)) / max(count - len(level), 1)
        variance = within if group.cells > 1 else (noise or 0.0) ** 2 / float(group.repeats.mean())
        freedom = max(len(level) - int(task.box.free[row].sum()) - 1, 1)
        scatter = np.sum(off**2 - variance / cells) / freedom
        chance = BEYOND_CHANCE * variance * np.sqrt(2 * np.sum(1 / cells**2)) / freedom
        if scatter <= chance:
            continue
        scatter *= LOCAL if group.cells == 1 else 1.0
        response = np.stack([np.bincount(of_point, values[place, :count], len(level)) for values in by_point])
        kernel = np.exp(-((level[:, None] - level) ** 2) / (2 * DEPARTURE_REACH**2))
        moved = best.inverse[place] @ response
        spread[place] = np.sqrt(np.maximum(np.einsum("il,lm,im->i", moved, scatter * kernel, moved), 0))
    return spread


def _test_set_spread(task: IntervalTask, rows: Sequence[int], best: _Best) -> Numbers:
    """Return what the choice of test examples leaves of the coordinates, the plateaus unknown."""
    groups = [task.groups[row] for row in rows]
    if not any(group.test_examples for group in groups):
        return np.zeros(best.solved.theta.shape)
    by_point, by_plateau = best.problem.responses(best.solved.theta, best.solved.nuisance)
    points = np.broadcast_to(best.problem.points.error, by_point.shape[1:])
    unpruned = np.broadcast_to(best.problem.measured, by_plateau.shape[1:])
    return example_spread(groups, best.inverse, by_point, by_plateau, (points, unpruned))


def _plain_test_set_spread(task: IntervalTask) -> Numbers:
    """Return the same of forms whose points are all there is to them, for each fit."""
    theta, points = task.solved.theta, task.padded.points
    if not any(group.test_examples for group in task.groups):
        return np.zeros(theta.shape)
    residual, jacobian = deviation(task.form, points, theta)
    # A relative deviation falls by its prediction, in units of the error, as the logarithm of the error rises.
    response = jacobian * (1 + residual) * (1.0 if points.weight is None else points.weight)
    inverse = invert_hessian(task.solved.hessian, task.box.free & (task.linear.bound == 0))[0]
    error = np.broadcast_to(points.error, response.shape[1:])
    return example_spread(task.groups, inverse, response, response[:, :, :0], (error, error[:, :0]))


def _widen(
    task: IntervalTask, rows: Sequence[int], spread: Numbers, uncertainties: list[Uncertainty]
) -> list[Uncertainty]:
    """Return uncertainties whose intervals, not their draws, are wider by an independent spread."""
    if not spread.any():
        return uncertainties
    reach = normal_quantile(task.level) * spread
    widened = []
    for place, (row, uncertainty) in enumerate(zip(rows, uncertainties, strict=True)):
        theta = uncertainty.theta_by_plateaus if uncertainty.theta_by_plateaus is not None else task.solved.theta[row]
        box = task.box.of(row)
        below, above = np.maximum(theta - uncertainty.low, 0), np.maximum(uncertainty.high - theta, 0)
        low = np.minimum(uncertainty.low, np.maximum(theta - np.hypot(below, reach[place]), box.low[0]))
        high = np.maximum(uncertainty.high, np.minimum(theta + np.hypot(above, reach[place]), box.high[0]))
        known = uncertainty.known & _are_narrow(task, low, high)
        widened.append(replace(uncertainty, low=low, high=high, known=known))
    return widened


def _profile(task: IntervalTask, rows: Sequence[int], best: _Best, factor: float, freedom: Numbers) -> Profile:
    box, quantile = task.box.of(rows), t_quantile(task.level, freedom)
    rise = (best.variance * factor * quantile**2 / 2)[:, None] * np.ones(box.low.shape)
    reach = quantile[:, None] * np.sqrt(np.maximum(np.einsum("fii->fi", best.covariance), 0))
    reach = np.where(reach > 0, np.minimum(reach, 1.0), 0.3)

    def minimise(fits: Integers, start: Numbers, low: Numbers, high: Numbers) -> tuple[Numbers, Numbers]:
        end = solve_free_plateaus(best.problem.fits(fits), start, low, high, best.solved.nuisance[fits])
        return end.cost, end.theta

    return profile_intervals(best.solved.theta, best.solved.cost, box, rise, reach, minimise)


def _profile_with_draws(task: IntervalTask, rows: Sequence[int], best: _Best) -> list[Uncertainty]:
    profile = _profile(task, rows, best, 1.0, best.freedom)
    firmness = reduced_hessian(best.problem, best.solved)[1]
    uncertainties = []
    for place, row in enumerate(rows):
        ends = (profile.low[place], profile.high[place])
        known = _are_known(task, row, *ends, profile.open_low[place], profile.open_high[place]) & ~best.flat[place]
        draws, shifts = plausible_draws(
            partial(_costs, best, place),
            best.solved.theta[place],
            float(best.solved.cost[place]),
            float(best.variance[place]),
            best.covariance[place],
            profile.ends[place],
            task.box.of(row),
            task.seed,
        )
        cells = task.groups[row].cells
        if cells == 1:
            # Given the parameters, a plateau is still only as sure as its points make it.
            loose = np.sqrt(best.variance[place] / firmness[place, 0])
            shifts = shifts + loose * np.random.default_rng(task.seed).standard_normal(len(shifts))
        by = f"profile of the sum of squares ({counted(cells, 'configuration')}: too few to resample)"
        uncertainties.append(Uncertainty(*ends, known, by, draws, best.solved.theta[place], shifts))
    return uncertainties


def _costs(best: _Best, place: int, proposed: Numbers) -> tuple[Numbers, Numbers]:
    """Return the cost of one fit at each of many coordinates, and how far the plateau of a lone cell moves along."""
    problem = best.problem.fits(np.full(len(proposed), place))
    solved = solve_free_plateaus(problem, proposed, proposed, proposed, best.solved.nuisance[[place]])
    if len(problem.first) > 1:
        return solved.cost, np.zeros(len(proposed))
    return solved.cost, solved.nuisance[:, 0] - best.problem.fits(slice(place, place + 1)).measured.ravel()[0]


def _stretch(task: IntervalTask, clusters: int, centre: Numbers, draws: Numbers) -> Numbers:
    """Return draws spread wider for few cells: they scatter too little, and by how much is uncertain too."""
    ratio = float(t_quantile(task.level, clusters - 1)) / normal_quantile(task.level)
    stretch = ratio * np.sqrt(clusters / (clusters - 1))
    return np.asarray(centre + (draws - centre) * stretch)


def _resample_with_plateaus(task: IntervalTask, row: int, best: _Best) -> Uncertainty:
    group, box, theta = task.groups[row], task.box.of(row), best.solved.theta[0]
    weights = draw_cells(group, task.draws, task.seed)
    draws = refit_draws_with_plateaus(best.problem, theta, best.solved.nuisance[0], box, weights)
    draws = _stretch(task, group.clusters, theta, draws)
    tail = (1 - task.level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    free, room = box.free[0], box.room[0]
    at_bound = (draws - box.low <= AT_BOUND * room) | (box.high - draws <= AT_BOUND * room)
    doubtful = free & ((at_bound.mean(axis=0) > (1 - task.level) / 4) | (draws.std(axis=0) > DOUBTFUL))
    open_low = open_high = np.zeros(len(theta), bool)
    if doubtful.any():
        # By how much more cells scatter than their points' scatter explains, over the parameters that are known.
        linear_sd = np.sqrt(np.maximum(np.diagonal(best.covariance[0]), 1e-300))
        ratio = (draws.std(axis=0) / linear_sd)[free & ~doubtful]
        factor = float(np.clip(np.median(ratio) ** 2, 1.0, 10.0)) if len(ratio) else 1.0
        profile = _profile(task, [row], best, factor, np.array([group.clusters - 1.0]))
        low = np.where(doubtful, np.minimum(low, profile.low[0]), low)
        high = np.where(doubtful, np.maximum(high, profile.high[0]), high)
        open_low, open_high = profile.open_low[0] & doubtful, profile.open_high[0] & doubtful
        draws = np.concatenate([draws, profile.ends[0]])
    draws = np.clip(draws, box.low, box.high)
    low, high = np.maximum(low, box.low[0]), np.minimum(high, box.high[0])
    known = _are_known(task, row, low, high, open_low, open_high) & ~best.flat[0]
    return Uncertainty(low, high, known, _resampled_by(task, group), draws, theta)


def _resampled_by(task: IntervalTask, group: GroupData) -> str:
    words = f"{counted(task.draws, 'resample')} of {counted(group.cells, 'configuration')}"
    return words if group.clusters == group.cells else f"{words}, those of one of {group.clusters} members together"


def _resample(task: IntervalTask, row: int) -> Uncertainty:
    group, box, theta = task.groups[row], task.box.of(row), task.solved.theta[row]
    weights = draw_cells(group, task.draws, task.seed)
    if task.delta is None:
        draws = refit_draws(task.form, group, theta, box, weights)
    else:
        points = replace(group.points, weight=weights[:, group.cell])
        start = np.repeat(theta[None], len(weights), axis=0)
        draws = solve_threshold(task.form, points, start, box.low, box.high, task.delta, 1e-8).theta
    draws = _stretch(task, group.clusters, theta, draws)
    tail = (1 - task.level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    at_low, at_high = (draws <= box.low + AT_BOUND).mean(axis=0), (draws >= box.high - AT_BOUND).mean(axis=0)
    low, high = np.maximum(low, box.low[0]), np.minimum(high, box.high[0])
    known = _are_known(task, row, low, high, at_low > tail, at_high > tail)
    return Uncertainty(low, high, known, _resampled_by(task, group), draws)


def _are_narrow(task: IntervalTask, low: Numbers, high: Numbers) -> NDArray[np.bool_]:
    """Return which intervals are narrow enough to say something."""
    most = np.array([TELLS_NO_EXPONENT if name in EXPONENTS else TELLS_NOTHING for name in task.form.parameters])
    return np.asarray((high - low <= most) & (high >= low))


def _are_known(
    task: IntervalTask, row: int, low: Numbers, high: Numbers, open_low: NDArray[np.bool_], open_high: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which coordinates' intervals say something: an end at a bound that means nothing does not."""
    free = task.box.free[row]
    meaningful = np.array([name in MEANINGFUL for name in task.form.parameters])
    closed = np.where(meaningful, ~(open_low & open_high), ~(open_low | open_high))
    return np.asarray(free & closed & _are_narrow(task, low, high))
