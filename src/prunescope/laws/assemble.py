"""From a batch of solved fits to results: deviations, regions, the spread of single networks, warnings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.laws.batch import Numbers, PruningForm, to_parameters
from prunescope.laws.data import GroupData
from prunescope.laws.identifiability import DIP, GAP, RISES, Evidence, bias_words, gap_words, warnings
from prunescope.laws.intervals import NOT_ASKED, FitIntervals, IntervalTask, Uncertainty
from prunescope.laws.models import DENSE, EXPONENTS
from prunescope.laws.results import Convergence, Fit, Interval, Region
from prunescope.laws.search import SearchResult
from prunescope.laws.solve import deviation

REGIONS = ("plateau", "power law", "saturation")
# Neighbouring densities that are averaged, and standard errors below the unpruned error that are no accident there.
WINDOW, NOISE_OF_DIP = 3, 3.0
# Sigma beyond which a law does not describe its data: as such, and as a multiple of what seeds explain.
MISFIT, MISFIT_TIMES = 0.1, 3.0
# Rows below which a region's own spread is not trusted.
ENOUGH_ROWS = 20


def region_of(theta: Numbers, log_size: Numbers, log_unpruned: Numbers) -> NDArray[np.int64]:
    """Return 0 on the low plateau, 1 along the power law, 2 on the high plateau, as Eq. 1 and 2 bend.

    The high plateau reaches from size 0 to ``p``, the low one begins at ``p (eps_up / eps_np)^(1/gamma)``. ``theta``
    holds one fit a row.
    """
    log_up, log_gamma, log_p = (theta[:, [column]] for column in range(3))
    begins = log_p + np.maximum(log_up - log_unpruned, 0) / np.exp(log_gamma)
    return np.where(log_size >= begins, 0, np.where(log_size <= log_p, 2, 1))


@dataclass(frozen=True)
class _Tally:
    """Sums over the points of each region of each fit."""

    count: NDArray[Any]
    mean: Numbers
    std: Numbers


def _tally(region: NDArray[np.int64], values: Numbers, present: NDArray[np.bool_]) -> _Tally:
    fits = len(region)
    index = (np.arange(fits)[:, None] * 3 + region)[present]
    chosen = values[present]
    count, first, second = (
        np.bincount(index, weights, 3 * fits).reshape(fits, 3) for weights in (None, chosen, chosen**2)
    )
    safe = np.maximum(count, 1)
    return _Tally(count, first / safe, np.sqrt(np.maximum(second / safe - (first / safe) ** 2, 0)))


@dataclass(frozen=True)
class _Rows:
    """The single rows of a batch: which fit each belongs to, and where its point stands in the padded layout."""

    owner: NDArray[np.int64]
    place: NDArray[np.int64]
    error: Numbers


def _rows(task: IntervalTask) -> _Rows:
    lengths = [len(group.row_error) for group in task.groups]
    owner = np.repeat(np.arange(len(task.groups)), lengths)
    point = np.concatenate([group.row_point for group in task.groups])
    error = np.concatenate([group.row_error for group in task.groups])
    return _Rows(owner, point + owner * task.side_by_side.points.count, error)


def assembled(task: IntervalTask, found: SearchResult, known: Sequence[FitIntervals]) -> list[Fit]:
    """Return the results of a batch. What can be done for all fits at once is, as there may be tens of thousands."""
    law, side_by_side, theta = task.law, task.side_by_side, task.solved.theta
    points, present, names = side_by_side.points, side_by_side.present, law.parameters
    bends = isinstance(law.form, PruningForm)
    residual, _ = deviation(law.form, points, theta)
    shape = np.zeros((1, 1))
    if law.family:
        shape = theta[:, [3]] * points.depth + theta[:, [4]] * points.width
    region = np.ones_like(points.error, np.int64)
    if bends:
        region = region_of(theta, points.density + shape, points.unpruned)
    tally = _tally(region, residual, present)
    count = side_by_side.count
    total = np.where(present, residual, 0)
    mean = total.sum(axis=1) / count
    std = np.sqrt(np.maximum((total**2).sum(axis=1) / count - mean**2, 0))
    rows = _rows(task)
    spread = _spread(task, rows, residual, region).tolist()
    free = task.where.low < task.where.high
    parameters = to_parameters(names, theta).tolist()
    usual = quick = _Bounds.of(names, [both.quick for both in known])
    if any(both.usual is not both.quick for both in known):
        usual = _Bounds.of(names, [both.usual for both in known])
    # Whatever noise did to the estimate, an interval that leaves it out would only puzzle.
    usual = usual.holding(to_parameters(names, theta))
    rise = np.exp(np.where(present, points.error - points.unpruned, -np.inf).max(axis=1))
    telling = free & (np.array([name in EXPONENTS for name in names]) | (rise >= RISES)[:, None] | (not bends))
    pruned = present & (points.density < -1e-12) if law is not DENSE else present
    sparsest = np.exp(np.where(present, points.density, np.inf).min(axis=1))
    turning = np.zeros(len(theta))
    if bends:
        turning = np.exp(theta[:, 2] - (np.where(present, shape, 0).sum(axis=1) / count))
    ceiling = np.array([group.ceiling for group in task.groups])
    above = (present & (points.error > np.log(ceiling)[:, None] + 1e-12)).sum(axis=1)
    dips = _dips(task) if bends else np.zeros(len(theta))
    gaps = _gaps(task) if bends else np.full(len(theta), np.nan)
    told_usual = (telling & np.array([both.usual.told for both in known])).tolist()
    told_quick = [both.quick.told.tolist() for both in known]
    flat, bound, is_free = (task.rough.flat != 0).tolist(), task.rough.bound.tolist(), free.tolist()
    means, stds, rises, sparse, turns, dipping, gap_of = (
        each.tolist() for each in (mean, std, rise, sparsest, turning, dips, gaps)
    )
    pruned_points, beyond, cells = (each.tolist() for each in (pruned.sum(axis=1), above, side_by_side.cells))
    counts, region_means, region_stds = (each.tolist() for each in (tally.count, tally.mean, tally.std))
    agreed, converged = found.agreed.tolist(), task.solved.converged.tolist()
    results = []
    for row, (group, both) in enumerate(zip(task.groups, known, strict=True)):
        unsure = both.usual
        named = dict(zip(names, parameters[row], strict=True))
        open_names = [name for name, each in zip(names, is_free[row], strict=True) if each]
        intervals = usual.named(row, names, is_free[row], told_usual[row])
        evidence = Evidence(
            parameters=named,
            free=open_names,
            bound={name: side for name, side in zip(names, bound[row], strict=True) if side},
            untold=[name for name in open_names if intervals[name] is None] if unsure.by != NOT_ASKED else [],
            flat=[name for name, each in zip(names, flat[row], strict=True) if each],
            chance=group.chance,
            points=pruned_points[row],
            sparsest=sparse[row],
            rise=rises[row],
            saturated=counts[row][2] if bends else 1,
            turning_density=turns[row],
            dip=dipping[row],
            sigma=stds[row],
            misfit=_misfit(stds[row], task.seed_noise[row], group),
            above_chance=beyond[row],
            levels=_levels(group) if law.family else {},
            starts=found.starts,
            agreed=agreed[row],
            converged=converged[row],
        )
        told = list(warnings(law.name, evidence))
        gap = None if math.isnan(gap_of[row]) else gap_of[row]
        if gap is not None and gap > GAP:
            told.append(gap_words(gap))
        bias = usual.bias(row, names, parameters[row], unsure)
        told += usual.pulled(row, intervals, bias)
        results.append(
            Fit(
                group=group.key,
                law=law.name,
                parameters=named,
                fixed=tuple(name for name in names if name not in open_names),
                intervals=intervals,
                quick_intervals=quick.named(row, names, is_free[row], told_quick[row]),
                level=task.level,
                intervals_by=unsure.by,
                bias=bias,
                mean_deviation=means[row],
                std_deviation=stds[row],
                regions=_regions(counts[row], region_means[row], region_stds[row]) if bends else (),
                points=len(group),
                cells=cells[row],
                ladders=task.ladders[row],
                seed_noise=task.seed_noise[row],
                unpruned_gap=gap,
                convergence=Convergence(evidence.converged, found.starts, evidence.agreed),
                warnings=tuple(told),
                draws=unsure.draws,
                shifts=np.zeros(len(unsure.draws)) if unsure.shifts is None else unsure.shifts,
                spread=tuple(spread[row]),
            )
        )
    return results


@dataclass(frozen=True)
class _Bounds:
    """Intervals of a batch as parameters, and the estimates behind them."""

    low: list[list[float]]
    high: list[list[float]]
    freed: list[list[float]] | None
    moved: list[list[bool]]

    @staticmethod
    def of(names: Sequence[str], each: Sequence[Uncertainty]) -> _Bounds:
        """Turn coordinates into parameters, for all fits at once."""
        low, high = (to_parameters(names, np.array([getattr(one, side) for one in each])) for side in ("low", "high"))
        freed = None
        if all(one.freed is not None for one in each):
            freed = to_parameters(names, np.array([one.freed for one in each])).tolist()
        return _Bounds(low.tolist(), high.tolist(), freed, np.zeros(low.shape, bool).tolist())

    def holding(self, parameters: Numbers) -> _Bounds:
        """Stretch intervals so that they hold the estimates."""
        low, high = np.array(self.low), np.array(self.high)
        moved = (parameters < low) | (parameters > high)
        return _Bounds(
            np.minimum(low, parameters).tolist(), np.maximum(high, parameters).tolist(), self.freed, moved.tolist()
        )

    def named(
        self, row: int, names: Sequence[str], free: Sequence[bool], told: Sequence[bool]
    ) -> dict[str, Interval | None]:
        """Return the intervals of one fit by name."""
        ends = zip(names, free, told, self.low[row], self.high[row], strict=True)
        return {name: (low, high) if known else None for name, is_free, known, low, high in ends if is_free}

    def bias(
        self, row: int, names: Sequence[str], parameters: Sequence[float], unsure: Uncertainty
    ) -> dict[str, float]:
        """Return how far noise has probably moved each estimate of one fit."""
        if self.freed is None or unsure.freed is None:
            return {}
        pairs = zip(names, parameters, self.freed[row], strict=True)
        return {name: estimate - freed for name, estimate, freed in pairs}

    def pulled(self, row: int, intervals: Mapping[str, Interval | None], bias: Mapping[str, float]) -> list[str]:
        """Tell of estimates that noise has taken out of their own intervals."""
        if not bias or not any(self.moved[row]):
            return []
        moved = dict(zip(bias, self.moved[row], strict=True))
        outside = {name: bias[name] for name, interval in intervals.items() if interval is not None and moved[name]}
        return [bias_words(outside)] if outside else []


def _regions(counts: Sequence[int], means: Sequence[float], stds: Sequence[float]) -> tuple[Region, ...]:
    return tuple(
        Region(name, int(count), mean, std) if count else Region(name, 0, None, None)
        for name, count, mean, std in zip(REGIONS, counts, means, stds, strict=True)
    )


def _misfit(sigma: float, seed_noise: float | None, group: GroupData) -> float | None:
    """Return what seeds would explain of sigma, where that is far less; None where they explain it."""
    explained = (
        MISFIT / MISFIT_TIMES if seed_noise is None else seed_noise / math.sqrt(len(group.row_error) / len(group))
    )
    return explained if sigma > max(MISFIT, MISFIT_TIMES * explained) else None


def _levels(group: GroupData) -> dict[str, int]:
    return {column: len(np.unique(getattr(group, column))) for column in ("depth", "width")}


def _dips(task: IntervalTask) -> Numbers:
    """Return how far errors fall below the unpruned error, for each fit."""
    side_by_side = task.side_by_side
    points, present = side_by_side.points, side_by_side.present
    pruned = present & (points.density < -1e-12)
    ratio = np.where(pruned, np.expm1(points.error - points.unpruned), 0.0)
    found = np.zeros(len(task.groups))
    low = (ratio < -DIP).any(axis=1)
    lone = low & (side_by_side.cells == 1)
    if lone.any():
        # Points of one cell stand in the order of their densities, so neighbours are windows along the row.
        repeats = np.where(pruned[lone], side_by_side.taken(task.groups, "repeats")[lone], 0).astype(np.float64)
        counts, totals = _windows(repeats), _windows(repeats * ratio[lone])
        # Without replicates, residuals tell the noise, which a dip is part of, or neighbours do, if they tell less.
        alone = np.array([each is None for each in task.seed_noise])
        noise = np.where(alone, np.minimum(task.noise, _roughness(points.error, pruned)), task.noise)
        found[lone] = _clear_dip(counts, totals, noise[lone][:, None])
    for row in np.flatnonzero(low & (side_by_side.cells > 1)).tolist():
        found[row] = _dip(task.groups[row], task.noise[row])
    return found


def _roughness(log_error: Numbers, pruned: NDArray[np.bool_]) -> Numbers:
    """Return the noise of each curve as neighbouring points show it, whatever the law: by second differences."""
    if log_error.shape[1] < 3:
        return np.full(len(log_error), np.inf)
    bend = np.diff(log_error, 2, axis=1)
    whole = pruned[:, :-2] & pruned[:, 1:-1] & pruned[:, 2:]
    counts = whole.sum(axis=1)
    # The median withstands the few places where a curve truly bends; 1.4826 makes it a standard deviation.
    ordered = np.sort(np.where(whole, np.abs(bend), np.inf), axis=1)
    middle = ordered[np.arange(len(ordered)), np.maximum(counts - 1, 0) // 2]
    return np.where(counts > 2, 1.4826 * middle / np.sqrt(6), np.inf)


def _windows(values: Numbers) -> Numbers:
    """Return sums over neighbours along the last axis."""
    size = min(WINDOW, values.shape[-1])
    return np.asarray(np.lib.stride_tricks.sliding_window_view(values, size, axis=-1).sum(axis=-1))


def _clear_dip(counts: Numbers, totals: Numbers, noise: Numbers | float) -> Numbers:
    mean = totals / np.maximum(counts, 1)
    clear = (mean < -DIP) & (mean + NOISE_OF_DIP * noise / np.sqrt(np.maximum(counts, 1)) < 0)
    return np.asarray(-np.where(clear, mean, 0.0).min(axis=-1))


def _gaps(task: IntervalTask) -> Numbers:
    """Return how far the law lies above the unpruned errors measured, in the mean over cells; NaN where none were."""
    side_by_side = task.side_by_side
    points = side_by_side.points
    first = side_by_side.present & np.diff(side_by_side.cell, axis=1, prepend=-1).astype(bool)
    measured = first & (side_by_side.taken(task.groups, "dense_repeats") > 0)
    at_one = replace(points, density=np.zeros_like(points.density))
    over = np.expm1(task.law.form.evaluate(task.solved.theta, at_one)[0] - points.unpruned)
    counts = measured.sum(axis=1)
    return np.where(counts > 0, np.where(measured, over, 0).sum(axis=1) / np.maximum(counts, 1), np.nan)


def _dip(group: GroupData, noise: float) -> float:
    """Return the same for one group of several cells: level by level over all of them."""
    pruned = group.density < 1
    densities = np.round(np.log(group.density[pruned]), 2)
    level = -np.unique(-densities, return_inverse=True)[1].reshape(-1)
    level = level - level.min()
    repeats = group.repeats[pruned].astype(np.float64)
    counts = np.bincount(level, repeats).astype(np.float64)
    totals = np.bincount(level, repeats * (group.error[pruned] / group.unpruned[pruned] - 1)).astype(np.float64)
    return float(_clear_dip(_windows(counts), _windows(totals), noise))


def _spread(task: IntervalTask, rows: _Rows, residual: Numbers, region: NDArray[np.int64]) -> Numbers:
    """Return the standard deviation of ``log(e / e_hat)`` of single networks, region by region."""
    fits = len(task.groups)
    predicted = (np.log1p(residual) + task.side_by_side.points.error).ravel()[rows.place]
    squares = (np.log(rows.error) - predicted) ** 2
    index = rows.owner * 3 + region.ravel()[rows.place]
    count, total = (np.bincount(index, weights, 3 * fits).reshape(fits, 3) for weights in (None, squares))
    number, whole = count.sum(axis=1), total.sum(axis=1)
    free = (task.where.low < task.where.high).sum(axis=1)
    pooled = whole / np.maximum(number - free, 1)
    grown = number / np.maximum(number - free, 1)
    own = total / np.maximum(count, 1) * grown[:, None]
    return np.asarray(np.sqrt(np.where(count >= ENOUGH_ROWS, own, pooled[:, None])))
