"""From a batch of fits to intervals, by the means that each group's data allow.

- Eight cells or more: whole cells are drawn again and again (`resample`).
- Fewer: the profile of the sum of squares (`profile`).
- Wherever resampling leaves a parameter in doubt the profile is asked as well, and the wider interval is believed.
- Very much data: the linear ones (`quick`).

For Eq. 1 and 2 all of them take the cells' low plateaus for unknown (`freed`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import counted
from prunescope.laws.batch import PLAIN, Numbers, PruningForm
from prunescope.laws.data import GroupData, PaddedGroups
from prunescope.laws.draws import normal_draws, plausible_draws
from prunescope.laws.free_plateaus import FreePlateauFit, FreePlateaus, curvature, firmness, free_plateaus, solve_freed
from prunescope.laws.linear_intervals import ENOUGH_CELLS, UNTOLD, LinearIntervals, inverted
from prunescope.laws.models import AT_BOUND, Box, Law
from prunescope.laws.profile import Profile, profile
from prunescope.laws.resample import drawn_cells, resampled, resampled_freed
from prunescope.laws.solve import Solved
from prunescope.laws.t_distribution import normal_reach
from prunescope.laws.t_distribution import reach as student

# Standard deviations (of logarithms, or of an exponent) beyond which the profile is asked too.
DOUBTFUL = 0.2
# Drop of the sum of squares, in units of the residual variance, from which on the other reading is taken.
CLEARLY = 4.0
# An interval this wide tells nothing: ratio of its ends (as a logarithm), and difference of exponents.
TELLS_NOTHING, TELLS_NO_EXPONENT = float(np.log(1000.0)), 3.0
NOT_ASKED = "not asked for"
# Draws that go with quick intervals.
QUICK_DRAWS = 64
# Bounds that mean something: an interval may end there.
MEANINGFUL = ("eps_up", "eps_0")


@dataclass(frozen=True)
class Uncertainty:
    """What is known of one fit's coordinates.

    Attributes
    ----------
    low, high, told
        Interval of each coordinate, and whether it says anything.
    by
        How it was found, in words.
    draws
        Coordinates about as likely as the best, for predictions.
    freed
        The estimate with unknown plateaus; None where it was not made.
    shifts
        How far, with each draw, a lone cell's plateau lies above its unpruned error, in logarithms; None is nowhere.
    """

    low: Numbers
    high: Numbers
    told: NDArray[np.bool_]
    by: str
    draws: Numbers
    freed: Numbers | None = None
    shifts: Numbers | None = None


@dataclass(frozen=True)
class IntervalTask:
    """A batch of fits whose uncertainty is asked for.

    Attributes
    ----------
    noise
        Relative standard deviation of one network's error, for each group.
    seed_noise
        The same between replicates; None without any.
    ladders
        How many ladders each group holds.
    """

    law: Law
    groups: Sequence[GroupData]
    side_by_side: PaddedGroups
    where: Box
    solved: Solved
    rough: LinearIntervals
    noise: Sequence[float]
    seed_noise: Sequence[float | None]
    ladders: Sequence[int]
    level: float
    draws: int
    seed: int


@dataclass(frozen=True)
class FitIntervals:
    """The intervals of one fit, and the quick ones beside them."""

    usual: Uncertainty
    quick: Uncertainty


def intervals(task: IntervalTask, manner: str) -> list[FitIntervals]:
    """Return the uncertainty of each fit of a batch."""
    theta, cells, sound = task.solved.theta, task.side_by_side.cells, task.rough.freedom > 0
    form = task.law.form
    plain = np.arange(len(theta)) if manner == "none" or not isinstance(form, PruningForm) else np.flatnonzero(~sound)
    rough = _linear(task, plain, theta[plain], task.rough.covariance[plain], task.rough.freedom[plain])
    found = {row: FitIntervals(each, each) for row, each in zip(plain.tolist(), rough, strict=True)}
    if manner == "none":
        nothing = np.zeros(theta.shape[1], bool)
        silent = [replace(each.usual, told=nothing, by=NOT_ASKED, draws=theta[:0]) for each in found.values()]
        return [FitIntervals(each, each) for each in silent]
    if not isinstance(form, PruningForm):
        for row in np.flatnonzero((cells >= ENOUGH_CELLS) & (manner != "quick")).tolist():
            found[row] = FitIntervals(_resampled(task, row), found[row].quick)
        return list(found.values())
    lone = np.flatnonzero((cells == 1) & sound).tolist()
    rest = [[row] for row in np.flatnonzero((cells > 1) & sound).tolist()]
    for rows in [lone, *rest] if lone else rest:
        best = _freed(task, form, rows, both=manner != "quick")
        quick = _linear(task, np.array(rows), best.solved.theta, best.covariance, best.freedom)
        usual = quick
        if manner != "quick":
            plenty = cells[rows[0]] >= ENOUGH_CELLS
            usual = [_resampled_freed(task, form, rows[0], best)] if plenty else _profiled(task, form, rows, best)
        found |= {row: FitIntervals(usual[place], quick[place]) for place, row in enumerate(rows)}
    return [found[row] for row in range(len(theta))]


def _linear(
    task: IntervalTask, rows: NDArray[np.int64], theta: Numbers, covariance: Numbers, freedom: Numbers
) -> list[Uncertainty]:
    """Return the quick intervals of some fits."""
    where = Box(task.where.low[rows], task.where.high[rows])
    sd = np.sqrt(np.maximum(np.einsum("fii->fi", covariance), 0))
    reach = student(task.level, freedom)[:, None] * sd
    told = (where.low < where.high) & (task.rough.bound[rows] == 0) & (sd > 0) & (sd <= UNTOLD)
    told &= (freedom > 0)[:, None]
    low, high = np.maximum(theta - reach, where.low), np.minimum(theta + reach, where.high)
    told &= _narrow(task, low, high)
    draws = normal_draws(theta, covariance, where, QUICK_DRAWS, task.seed)
    by = "linear, from the curvature at the optimum"
    free = theta if isinstance(task.law.form, PruningForm) else None
    return [
        Uncertainty(low[each], high[each], told[each], by, draws[each], None if free is None else free[each])
        for each in range(len(theta))
    ]


@dataclass(frozen=True)
class _Best:
    """The best with unknown plateaus, of one group or of many of one cell each."""

    problem: FreePlateaus
    solved: FreePlateauFit
    variance: Numbers
    freedom: Numbers
    covariance: Numbers
    flat: NDArray[np.bool_]


def _freed(task: IntervalTask, form: PruningForm, rows: Sequence[int], both: bool) -> _Best:
    """Solve with the unpruned errors read as points of the law, and as low plateaus where that fits clearly better.

    Only the first reading is tried unless ``both`` are asked for.
    """
    groups, noise = [task.groups[row] for row in rows], [task.noise[row] for row in rows]
    where = Box(task.where.low[rows], task.where.high[rows])
    begin = task.solved.theta[rows]
    layout = task.side_by_side if len(rows) == len(task.groups) else None
    problem = free_plateaus(groups, noise, True, layout)
    solved = solve_freed(form, problem, begin, where.low, where.high)
    if both:
        other = free_plateaus(groups, noise, False, layout)
        as_plateau = solve_freed(form, other, begin, where.low, where.high)
        roughly = 2 * solved.cost / np.maximum(task.side_by_side.count[rows], 1)
        better = 2 * (solved.cost - as_plateau.cost) > CLEARLY * roughly
        if better.any():
            problem, solved = problem.mixed(other, better), solved.mixed(as_plateau, better)
    free = where.low < where.high
    freedom = np.maximum(task.side_by_side.telling[rows] - free.sum(axis=1), 1)
    variance = np.maximum(2 * solved.cost / freedom, 1e-20)
    room = np.where(free, where.high - where.low, 1.0)
    inside = (solved.theta - where.low > AT_BOUND * room) & (where.high - solved.theta > AT_BOUND * room)
    inverse, direction = inverted(curvature(form, problem, solved), free & inside)
    covariance = inverse * variance[:, None, None]
    return _Best(problem, solved, variance, freedom.astype(np.float64), covariance, direction != 0)


def _profile(
    task: IntervalTask, form: PruningForm, rows: Sequence[int], best: _Best, factor: float, freedom: Numbers
) -> Profile:
    where = Box(task.where.low[rows], task.where.high[rows])
    quantile = student(task.level, freedom)
    rise = (best.variance * factor * quantile**2 / 2)[:, None] * np.ones(where.low.shape)
    reach = quantile[:, None] * np.sqrt(np.maximum(np.einsum("fii->fi", best.covariance), 0))
    reach = np.where(reach > 0, np.minimum(reach, 1.0), 0.3)
    shared = best.problem.points.error.ndim == 1

    def minimise(fits: NDArray[np.int64], start: Numbers, low: Numbers, high: Numbers) -> tuple[Numbers, Numbers]:
        own = best.problem if shared else best.problem.fits(fits)
        end = solve_freed(form, own, start, low, high, best.solved.plateaus[fits])
        return end.cost, end.theta

    return profile(best.solved.theta, best.solved.cost, where, rise, reach, minimise)


def _profiled(task: IntervalTask, form: PruningForm, rows: Sequence[int], best: _Best) -> list[Uncertainty]:
    found = _profile(task, form, rows, best, 1.0, best.freedom)
    firm = firmness(form, best.problem, best.solved)
    done = []
    for place, row in enumerate(rows):
        told = _told(task, row, found.low[place], found.high[place], found.open_low[place], found.open_high[place])
        told &= ~best.flat[place]
        own = best.problem.fits(slice(place, place + 1))
        plateaus = best.solved.plateaus[place : place + 1]

        measured = own.measured.ravel()[0] if task.groups[row].cells == 1 else None

        def costs_of(
            proposed: Numbers, own: FreePlateaus = own, plateaus: Numbers = plateaus, measured: float | None = measured
        ) -> tuple[Numbers, Numbers]:
            shared = own if own.points.error.ndim == 1 else own.fits(np.zeros(len(proposed), np.int64))
            found = solve_freed(form, shared, proposed, proposed, proposed, plateaus)
            return found.cost, np.zeros(len(proposed)) if measured is None else found.plateaus[:, 0] - measured

        draws, shifts = plausible_draws(
            costs_of,
            best.solved.theta[place],
            float(best.solved.cost[place]),
            float(best.variance[place]),
            best.covariance[place],
            found.ends[place],
            task.where.of(row),
            task.seed,
        )
        if task.groups[row].cells == 1:
            # Given the parameters, a plateau is still only as sure as its points make it.
            loose = np.sqrt(best.variance[place] / firm[place, 0])
            shifts = shifts + loose * np.random.default_rng(task.seed).standard_normal(len(shifts))
        by = f"profile of the sum of squares ({counted(task.groups[row].cells, 'configuration')}: too few to resample)"
        done.append(Uncertainty(found.low[place], found.high[place], told, by, draws, best.solved.theta[place], shifts))
    return done


def _stretched(task: IntervalTask, cells: int, centre: Numbers, draws: Numbers) -> Numbers:
    """Return draws spread wider for few cells: they scatter too little, and by how much is uncertain too."""
    ratio = float(student(task.level, cells - 1)) / normal_reach(task.level)
    stretch = ratio * np.sqrt(cells / (cells - 1))
    return np.asarray(centre + (draws - centre) * stretch)


def _resampled_freed(task: IntervalTask, form: PruningForm, row: int, best: _Best) -> Uncertainty:
    group, where, theta = task.groups[row], task.where.of(row), best.solved.theta[0]
    weights = drawn_cells(group.cells, task.draws, task.seed)
    draws = resampled_freed(form, best.problem, theta, best.solved.plateaus[0], where, weights)
    draws = _stretched(task, group.cells, theta, draws)
    tail = (1 - task.level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    free = (where.low < where.high)[0]
    room = np.where(free, where.high[0] - where.low[0], 1.0)
    at_bound = (draws - where.low <= AT_BOUND * room) | (where.high - draws <= AT_BOUND * room)
    doubtful = free & ((at_bound.mean(axis=0) > (1 - task.level) / 4) | (draws.std(axis=0) > DOUBTFUL))
    open_low = open_high = np.zeros(len(theta), bool)
    if doubtful.any():
        # By how much more cells scatter than their points' scatter explains, over the parameters that are told.
        plain = np.sqrt(np.maximum(np.diagonal(best.covariance[0]), 1e-300))
        ratio = (draws.std(axis=0) / plain)[free & ~doubtful]
        factor = float(np.clip(np.median(ratio) ** 2, 1.0, 10.0)) if len(ratio) else 1.0
        found = _profile(task, form, [row], best, factor, np.array([group.cells - 1.0]))
        low = np.where(doubtful, np.minimum(low, found.low[0]), low)
        high = np.where(doubtful, np.maximum(high, found.high[0]), high)
        open_low, open_high = found.open_low[0] & doubtful, found.open_high[0] & doubtful
        draws = np.concatenate([draws, found.ends[0]])
    draws = np.clip(draws, where.low, where.high)
    low, high = np.maximum(low, where.low[0]), np.minimum(high, where.high[0])
    told = _told(task, row, low, high, open_low, open_high) & ~best.flat[0]
    by = f"{counted(task.draws, 'resample')} of {counted(group.cells, 'configuration')}"
    return Uncertainty(low, high, told, by, draws, theta)


def _resampled(task: IntervalTask, row: int) -> Uncertainty:
    group, where, theta = task.groups[row], task.where.of(row), task.solved.theta[row]
    draws = resampled(task.law.form, group, theta, where, drawn_cells(group.cells, task.draws, task.seed))
    draws = _stretched(task, group.cells, theta, draws)
    tail = (1 - task.level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    at_low, at_high = (draws <= where.low + AT_BOUND).mean(axis=0), (draws >= where.high - AT_BOUND).mean(axis=0)
    low, high = np.maximum(low, where.low[0]), np.minimum(high, where.high[0])
    told = _told(task, row, low, high, at_low > tail, at_high > tail)
    return Uncertainty(
        low, high, told, f"{counted(task.draws, 'resample')} of {counted(group.cells, 'configuration')}", draws
    )


def _narrow(task: IntervalTask, low: Numbers, high: Numbers) -> NDArray[np.bool_]:
    """Return which intervals are narrow enough to say something."""
    most = np.array([TELLS_NO_EXPONENT if name in PLAIN else TELLS_NOTHING for name in task.law.parameters])
    return np.asarray((high - low <= most) & (high >= low))


def _told(
    task: IntervalTask, row: int, low: Numbers, high: Numbers, open_low: NDArray[np.bool_], open_high: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which coordinates' intervals say something: an end at a bound that means nothing does not."""
    free = task.where.low[row] < task.where.high[row]
    meaningful = np.array([name in MEANINGFUL for name in task.law.parameters])
    closed = np.where(meaningful, ~(open_low & open_high), ~(open_low | open_high))
    return np.asarray(free & closed & _narrow(task, low, high))
