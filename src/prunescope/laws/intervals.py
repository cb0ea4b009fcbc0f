"""From a batch of fits to intervals, by the means that each group's data allow.

- Eight cells or more: whole cells are resampled, and what noise does to the estimate is allowed for (`resample`).
- Fewer: the profile of the sum of squares (`profile`), widened for the noise of the unpruned errors.
- Wherever a parameter is in doubt the profile is asked as well, and whoever finds the wider interval is believed.
- Very much data: the linear ones (`quick`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from prunescope.errors import counted
from prunescope.laws.batch import Numbers
from prunescope.laws.draws import normal_draws, plausible_draws
from prunescope.laws.kinds import AT_BOUND, DENSE, Box, Law
from prunescope.laws.measured import Measured, Padded, padded
from prunescope.laws.profile import Profile, profile
from prunescope.laws.quick import ENOUGH_CELLS, UNTOLD, Quick
from prunescope.laws.resample import pull, resampled
from prunescope.laws.solve import Solved

# Linear standard deviations beyond which the profile is asked whether the data tell the parameter.
DOUBTFUL = 0.25
# An interval this wide (logarithm of the ratio of its ends, difference of exponents) tells nothing.
TELLS_NOTHING = np.log(1000.0)
# Bounds that mean something: an interval may end there.
MEANINGFUL = ("eps_up", "eps_0")


@dataclass(frozen=True)
class Uncertainty:
    """What is known of one fit's coordinates.

    Attributes
    ----------
    low, high, told
        Interval of each coordinate, and whether it says anything.
    quick_low, quick_high, quick_told
        The linear one.
    opened
        Coordinates whose interval runs up to a bound.
    by
        How it was found, in words.
    bias, gap
        What `resample.pull` found, None where it was not asked.
    """

    low: Numbers
    high: Numbers
    told: NDArray[np.bool_]
    quick_low: Numbers
    quick_high: Numbers
    quick_told: NDArray[np.bool_]
    opened: NDArray[np.bool_]
    by: str
    bias: Numbers | None
    gap: float | None
    draws: Numbers


@dataclass(frozen=True)
class Task:
    """A batch of fits whose uncertainty is asked for."""

    law: Law
    groups: Sequence[Measured]
    side_by_side: Padded
    where: Box
    solved: Solved
    rough: Quick
    noise: Sequence[float]
    level: float
    draws: int
    seed: int


def intervals(task: Task, manner: str) -> list[Uncertainty]:
    """Return the uncertainty of each fit of a batch."""
    linear = _linear(task, manner)
    if manner in ("quick", "none"):
        return linear
    plenty = task.side_by_side.cells >= ENOUGH_CELLS
    found: dict[int, Uncertainty] = {}
    few = np.flatnonzero(~plenty & (task.rough.freedom > 0))
    if len(few):
        found |= zip(few.tolist(), _profiled(task, few, linear), strict=True)
    for number in np.flatnonzero(plenty).tolist():
        found[number] = _resampled(task, number, linear[number])
    return [found.get(number, each) for number, each in enumerate(linear)]


def _linear(task: Task, manner: str) -> list[Uncertainty]:
    rough, theta, where = task.rough, task.solved.theta, task.where
    freedom = np.maximum(rough.freedom, 1)
    reach = stdtrit(freedom, 0.5 + task.level / 2)[:, None] * np.where(np.isfinite(rough.sd), rough.sd, 0.0)
    told = (where.low < where.high) & (rough.bound == 0) & (rough.sd <= UNTOLD) & (rough.freedom > 0)[:, None]
    told &= manner != "none"
    low, high = np.maximum(theta - reach, where.low), np.minimum(theta + reach, where.high)
    count = 64 if manner == "quick" else 0
    draws = normal_draws(theta, rough.covariance, where, count, task.seed)
    by = "linear, from the curvature at the optimum" if manner == "quick" else "not asked for"
    nothing = np.zeros(theta.shape[1], bool)
    return [
        Uncertainty(low[each], high[each], told[each], low[each], high[each], told[each], nothing, by, None, None, draws[each])
        for each in range(len(theta))
    ]


def _rise(task: Task, rows: NDArray[np.int64]) -> tuple[Numbers, Numbers, Numbers]:
    """Return by how much the cost may rise in each coordinate, how far that is about, and the variance behind it."""
    rough = task.rough
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = (rough.sd[rows] / rough.plain[rows]) ** 2
    known = np.isfinite(factor)
    most = np.where(known, factor, 1.0).max(axis=1, keepdims=True)
    factor = np.where(known, np.maximum(factor, 1.0), most)
    quantile = stdtrit(np.maximum(rough.freedom[rows], 1), 0.5 + task.level / 2)[:, None]
    variance = np.maximum(rough.variance[rows], 1e-20)[:, None] * factor
    reach = quantile * np.where(np.isfinite(rough.sd[rows]), rough.sd[rows], 0.3)
    return variance * quantile**2 / 2, np.where(reach > 0, reach, 0.3), variance


def _profiles(task: Task, rows: NDArray[np.int64]) -> Profile:
    rise, reach, _ = _rise(task, rows)
    whole = task.solved
    solved = Solved(whole.theta[rows], whole.cost[rows], whole.converged[rows], whole.hessian[rows])
    where = Box(task.where.low[rows], task.where.high[rows])
    return profile(task.law.form, padded([task.groups[row] for row in rows]), solved, where, rise, reach)


def _profiled(task: Task, rows: NDArray[np.int64], linear: Sequence[Uncertainty]) -> list[Uncertainty]:
    found = _profiles(task, rows)
    _, _, variance = _rise(task, rows)
    done = []
    for place, row in enumerate(rows.tolist()):
        low, high = found.low[place], found.high[place]
        told, opened = _told(task, row, low, high, found.open_low[place], found.open_high[place])
        draws = plausible_draws(
            task.law.form,
            task.groups[row].points,
            task.solved.theta[row],
            float(task.solved.cost[row]),
            float(np.median(variance[place])),
            task.rough.covariance[row],
            found.ends[place],
            task.where.of(row),
            task.seed,
        )
        cells = task.groups[row].cells
        by = f"profile of the sum of squares ({counted(cells, 'configuration')}: too few to resample)"
        rough = linear[row]
        done.append(
            Uncertainty(low, high, told, rough.quick_low, rough.quick_high, rough.quick_told, opened, by, None, None, draws)
        )
    return done


def _resampled(task: Task, row: int, linear: Uncertainty) -> Uncertainty:
    group, where, theta = task.groups[row], task.where.of(row), task.solved.theta[row]
    draws = resampled(task.law.form, group, theta, where, task.draws, task.seed)
    bias, gap = np.zeros(len(theta)), None
    if task.law is not DENSE:
        pulled = pull(task.law.form, group, theta, where, task.noise[row], task.seed)
        bias, gap = pulled.bias, pulled.gap
    tail = (1 - task.level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    # Few cells scatter too little and their scatter is itself uncertain: Student's t and n / (n - 1).
    cells = group.cells
    stretch = float(stdtrit(cells - 1, 1 - tail) / ndtri(1 - tail) * np.sqrt(cells / (cells - 1)))
    low, high = theta + (low - theta) * stretch - bias, theta + (high - theta) * stretch - bias
    room = np.where(where.low < where.high, where.high - where.low, 1.0)[0]
    sticking = ((draws - where.low <= AT_BOUND * room) | (where.high - draws <= AT_BOUND * room)).mean(axis=0) > tail / 2
    free = (where.low < where.high)[0]
    doubtful = free & (sticking | (task.rough.sd[row] > DOUBTFUL) | (task.rough.bound[row] != 0))
    opened_low = opened_high = np.zeros(len(theta), bool)
    if doubtful.any():
        found = _profiles(task, np.array([row]))
        wide_low, wide_high = np.minimum(low, found.low[0] - np.maximum(bias, 0)), np.maximum(high, found.high[0] - np.minimum(bias, 0))
        low, high = np.where(doubtful, wide_low, low), np.where(doubtful, wide_high, high)
        opened_low, opened_high = found.open_low[0] & doubtful, found.open_high[0] & doubtful
        draws = np.concatenate([draws, found.ends[0]])
    low, high = np.maximum(low, where.low[0]), np.minimum(high, where.high[0])
    told, opened = _told(task, row, low, high, opened_low, opened_high)
    by = f"{counted(task.draws, 'resample')} of {counted(cells, 'configuration')}"
    return Uncertainty(
        low, high, told, linear.quick_low, linear.quick_high, linear.quick_told, opened, by, bias, gap, draws
    )


def _told(
    task: Task, row: int, low: Numbers, high: Numbers, open_low: NDArray[np.bool_], open_high: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which coordinates' intervals say something, and which run up to a bound."""
    free = task.where.low[row] < task.where.high[row]
    meaningful = np.array([name in MEANINGFUL for name in task.law.parameters])
    both = open_low & open_high
    opened = (open_low | open_high) & free
    told = free & np.where(meaningful, ~both, ~opened) & (high - low <= TELLS_NOTHING) & (high >= low)
    return told, opened
