"""Fits of a law to groups of measurements: search, uncertainty, evidence. Arrays in, results out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from prunescope.laws.data import GroupData, Numbers, PaddedGroups, pool_replicates
from prunescope.laws.forms import REGIONS, SIGNED, Form, to_parameters
from prunescope.laws.identifiability import (
    GAP,
    RISES,
    describe_bias,
    describe_few_members,
    describe_gap,
    error_rises,
    gather_evidence,
    write_warnings,
)
from prunescope.laws.intervals import NOT_ASKED, find_intervals
from prunescope.laws.refusals import refuse_group
from prunescope.laws.replicates import MOST, neighbour_correlation, replicate_persistence
from prunescope.laws.results import Convergence, Fit, Interval, RefusedFit, Region
from prunescope.laws.robust import replicate_weights, solve_huber, solve_threshold, threshold_weights, weighted
from prunescope.laws.search import SAME_MINIMUM, Box, SearchResult, draw_starts, fix_unvaried, search_batch
from prunescope.laws.solver import deviation, solve
from prunescope.laws.uncertainty import ENOUGH_CELLS, IntervalTask, Uncertainty, linear_intervals

# Points times draws beyond which intervals are the quick ones, unless others are asked for.
TOO_MANY = 15_000_000
# Points from which on a group is fitted by itself, not side by side with others.
LARGE = 512
# Standard errors from which on deviations of neighbours count as correlated.
CLEARLY_TOGETHER = 2.0
# Rows below which a region's own spread is not trusted.
ENOUGH_ROWS = 20


@dataclass(frozen=True)
class Options:
    """How to fit.

    Attributes
    ----------
    fixed
        Parameters that are given.
    vary
        Of depth and width, those that the law explains; None is all that vary.
    level
        Probability that an interval is meant to hold the truth.
    intervals
        ``"auto"`` does what the data allow (`intervals`) unless that takes too long, ``"resampled"`` however long,
        ``"quick"`` takes the linear ones, ``"none"`` gives none.
    draws
        How many resamples.
    loss
        ``"relative"``: the squared relative deviation, as the paper; ``"huber"``: Huber's, of log deviations.
    delta
        Where Huber's loss turns from squares to absolute values; None: at 1.345 robust standard deviations.
    """

    fixed: Mapping[str, float] = field(default_factory=dict)
    vary: tuple[str, ...] | None = None
    level: float = 0.9
    intervals: str = "auto"
    draws: int = 200
    starts: int = 16
    seed: int = 0
    loss: str = "relative"
    delta: float | None = None


def fit_groups(
    form: Form, groups: Sequence[GroupData], options: Options, progress: Callable[[int, int], None] | None = None
) -> list[Fit | RefusedFit]:
    """Fit a law to each group, or say why not."""
    fixed = [{**fix_unvaried(form, group, options.vary), **options.fixed} for group in groups]
    results: list[Fit | RefusedFit | None] = [
        refuse_group(form, group, [name for name in form.parameters if name not in values])
        for group, values in zip(groups, fixed, strict=True)
    ]
    accepted = [number for number, refusal in enumerate(results) if refusal is None]
    work = sum(len(groups[number]) for number in accepted) * options.draws
    manner = options.intervals
    if manner == "auto":
        manner = "resampled" if work <= TOO_MANY else "quick"
    done = 0
    for batch in _batches(groups, accepted, fixed):
        fits = _fit_batch(form, [groups[number] for number in batch], fixed[batch[0]], options, manner)
        for number, fit in zip(batch, fits, strict=True):
            results[number] = fit
        done += len(batch)
        if progress is not None:
            progress(done, len(accepted))
    return [result for result in results if result is not None]


def _batches(
    groups: Sequence[GroupData], accepted: Sequence[int], fixed: Sequence[Mapping[str, float]]
) -> Iterator[list[int]]:
    """Put groups of about one size side by side, large ones by themselves."""
    batch: list[int] = []
    for number in sorted(accepted, key=lambda index: (sorted(fixed[index].items()), len(groups[index]))):
        size = len(groups[number])
        if batch and (size > LARGE or size > 2 * len(groups[batch[0]]) + 8 or fixed[number] != fixed[batch[0]]):
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def _fit_batch(
    form: Form, groups: Sequence[GroupData], fixed: Mapping[str, float], options: Options, manner: str
) -> list[Fit]:
    search = search_batch(form, groups, fixed, options.starts, options.seed)
    result, padded, box = search.result, search.padded, search.box
    best = result.best
    seed_noise, ladders = pool_replicates(groups)
    weight = replicate_weights(groups, padded, best.cost, seed_noise, box.free.sum(axis=1))
    if weight is not None:
        groups, padded = weighted(groups, weight)
        best = solve(form, padded.points, best.theta, box.low, box.high)
    delta = options.delta if options.loss == "huber" else None
    if delta is not None:
        result = _search_by_threshold(form, padded, box, best.theta, delta, options)
        best = result.best
        weight = threshold_weights(form, padded.points, best.theta, delta)
        groups, padded = weighted(groups, weight)
    elif options.loss == "huber":
        best, weight = solve_huber(form, padded, box, best.theta)
        groups, padded = weighted(groups, weight)
    sigma = np.sqrt(2 * best.cost / padded.count).tolist()
    task = IntervalTask(
        form=form,
        groups=groups,
        padded=padded,
        box=box,
        solved=best,
        linear=linear_intervals(form, padded, best, box),
        noise=[misfit if between is None else between for misfit, between in zip(sigma, seed_noise, strict=True)],
        seed_noise=seed_noise,
        persistence=_persistence(form, groups, padded, best.theta, seed_noise),
        ladders=ladders,
        level=options.level,
        draws=options.draws,
        seed=options.seed,
        delta=delta,
    )
    return _assemble_fits(task, result, *find_intervals(task, manner))


def _search_by_threshold(
    form: Form, padded: PaddedGroups, box: Box, least: Numbers, delta: float, options: Options
) -> SearchResult:
    """Return the best by Huber's loss with a given threshold: from every start again, and from the least squares."""
    starts = draw_starts(form, padded, box, options.starts, options.seed)
    best = solve_threshold(form, padded.points, least, box.low, box.high, delta)
    costs = []
    for turn in range(options.starts):
        ends = solve_threshold(form, padded.points, starts[:, turn], box.low, box.high, delta)
        costs.append(ends.cost)
        best = best.replace_fits(ends.cost < best.cost, ends)
    agreed = np.count_nonzero(np.array(costs) <= best.cost * (1 + SAME_MINIMUM) + 1e-30, axis=0)
    return SearchResult(best, options.starts, agreed)


def _persistence(
    form: Form, groups: Sequence[GroupData], padded: PaddedGroups, theta: Numbers, seed_noise: Sequence[float | None]
) -> Numbers:
    """Return how deviations persist along ladders, for each group.

    Of a single curve without replicates the law's own deviations tell it, where that is clear beyond chance.
    """
    by_replicates = replicate_persistence(groups)
    if all(noise is not None for noise in seed_noise):
        return by_replicates
    by_law, pairs = neighbour_correlation(padded, deviation(form, padded.points, theta)[0])
    clear = (padded.cells == 1) & (by_law * np.sqrt(pairs) > CLEARLY_TOGETHER)
    alone = np.where(clear, np.minimum(by_law, MOST), 0.0)
    return np.where([noise is None for noise in seed_noise], alone, by_replicates)


def _assemble_fits(
    task: IntervalTask, search: SearchResult, usual: Sequence[Uncertainty], quick: Sequence[Uncertainty]
) -> list[Fit]:
    """Return the results of a batch. What can be done for all fits at once is, as there may be tens of thousands."""
    names, parameters = task.form.parameters, to_parameters(task.form.parameters, task.solved.theta)
    deviations, rise = _measure_deviations(task), error_rises(task)
    # What the rise of the error does not show is not identified, however narrow the interval.
    shown = np.array([name in SIGNED for name in names]) | (rise >= RISES)[:, None] | (not task.form.has_plateaus)
    quick_ends = low, high, known = _parameter_intervals(names, quick)
    if any(ours is not theirs for ours, theirs in zip(usual, quick, strict=True)):
        low, high, known = _parameter_intervals(names, usual)
    outside = ((parameters < low) | (parameters > high)).tolist()
    # Whatever noise did to the estimate, an interval that leaves it out would only puzzle.
    low, high = np.minimum(low, parameters), np.maximum(high, parameters)
    intervals, quick_intervals = _name_intervals(task, low, high, known & shown), _name_intervals(task, *quick_ends)
    biases = _find_biases(names, parameters, usual)
    estimates = [dict(zip(names, row, strict=True)) for row in parameters.tolist()]
    unknown = [
        [name for name, interval in by_name.items() if interval is None and uncertainty.by != NOT_ASKED]
        for by_name, uncertainty in zip(intervals, usual, strict=True)
    ]
    saturated = [regions[2].points if regions else 1 for regions in deviations.regions]
    evidence = gather_evidence(task, search, estimates, unknown, rise, deviations.std, saturated)
    gaps, cells = _find_gaps(task), task.padded.cells.tolist()
    fits = []
    for row, (group, uncertainty, signs) in enumerate(zip(task.groups, usual, evidence, strict=True)):
        warnings = list(write_warnings(task.form.name, signs))
        if task.form.family and group.cells > 1 and group.members < min(group.cells, ENOUGH_CELLS):
            warnings.append(describe_few_members(group))
        if (gap := gaps[row]) is not None and gap > GAP:
            warnings.append(describe_gap(gap))
        bias, draws, shifts = biases[row], uncertainty.draws, uncertainty.shifts
        pulled = [
            name
            for name, is_outside in zip(names, outside[row], strict=True)
            if is_outside and intervals[row].get(name)
        ]
        if bias and pulled:
            warnings.append(describe_bias({name: bias[name] for name in pulled}))
        fits.append(
            Fit(
                group=group.key,
                law=task.form.name,
                parameters=estimates[row],
                fixed=tuple(name for name in names if name not in intervals[row]),
                intervals=intervals[row],
                quick_intervals=quick_intervals[row],
                level=task.level,
                intervals_by=uncertainty.by,
                bias=bias,
                mean_deviation=deviations.mean[row],
                std_deviation=deviations.std[row],
                regions=deviations.regions[row],
                points=len(group),
                cells=cells[row],
                ladders=task.ladders[row],
                seed_noise=task.seed_noise[row],
                unpruned_gap=gap,
                convergence=Convergence(signs.converged, search.starts, signs.agreed),
                warnings=tuple(warnings),
                draws=draws,
                shifts=np.zeros(len(draws)) if shifts is None else shifts,
                spread=deviations.spread[row],
                persistence=float(task.persistence[row]),
                shared_examples=group.shared_examples,
                plateau_noise=_plateau_noise(group, task.seed_noise[row], deviations.spread[row][0]),
                most=_highest(task, row, intervals[row]),
                measured=_measured_ranges(group),
            )
        )
    return fits


def _plateau_noise(group: GroupData, seed_noise: float | None, spread: float) -> float:
    """Return the relative standard deviation of the unpruned errors; 0 where they were given."""
    # One cell has one unpruned error.
    behind = float(group.dense_repeats[0] if group.cells == 1 else np.median(group.dense_repeats))
    return (spread if seed_noise is None else seed_noise) / math.sqrt(behind) if behind > 0 else 0.0


def _highest(task: IntervalTask, row: int, intervals: Mapping[str, Interval | None]) -> float:
    """Return the upper end of the interval of the high plateau; what bounds it where there is none."""
    if not task.form.has_plateaus:
        return 1.0 if task.groups[row].is_error else math.inf
    interval = intervals.get("eps_up")
    if interval is not None:
        return interval[1]
    return float(np.exp(task.box.high[row, task.form.parameters.index("eps_up")]))


def _measured_ranges(group: GroupData) -> dict[str, tuple[float, float]]:
    if group.cells == 1:  # of which there may be tens of thousands: points stand in the order of their densities
        depth, width = float(group.depth[0]), float(group.width[0])
        density = float(group.density[-1]), float(group.density[0])
        return {"density": density, "depth": (depth, depth), "width": (width, width)}
    return {
        name: (float(values.min()), float(values.max()))
        for name, values in (("density", group.density), ("depth", group.depth), ("width", group.width))
    }


def _parameter_intervals(
    names: Sequence[str], uncertainties: Sequence[Uncertainty]
) -> tuple[Numbers, Numbers, NDArray[np.bool_]]:
    """Return the ends of the intervals as parameters, ``[fits, coordinates]``, and whether they say anything."""
    low = np.array([uncertainty.low for uncertainty in uncertainties])
    high = np.array([uncertainty.high for uncertainty in uncertainties])
    known = np.array([uncertainty.known for uncertainty in uncertainties])
    return to_parameters(names, low), to_parameters(names, high), known


def _name_intervals(
    task: IntervalTask, low: Numbers, high: Numbers, known: NDArray[np.bool_]
) -> list[dict[str, Interval | None]]:
    """Return the intervals of each fit's free parameters by name; None where an interval says nothing."""
    names = task.form.parameters
    rows = zip(*(values.tolist() for values in (task.box.free, known, low, high)), strict=True)
    return [
        {name: (start, end) if says else None for name, free, says, start, end in zip(names, *row, strict=True) if free}
        for row in rows
    ]


def _find_biases(
    names: Sequence[str], parameters: Numbers, uncertainties: Sequence[Uncertainty]
) -> list[dict[str, float]]:
    """Return how far noise has probably moved each estimate of each fit; nothing where plateaus were not freed."""
    estimates = [uncertainty.theta_by_plateaus for uncertainty in uncertainties]
    if any(estimate is None for estimate in estimates):
        return [{} for _ in estimates]
    moved = parameters - to_parameters(names, np.array(estimates))
    return [dict(zip(names, row, strict=True)) for row in moved.tolist()]


@dataclass(frozen=True)
class _Deviations:
    """How far a batch is off: over all points, over those of each region, and the spread of single networks there."""

    mean: list[float]
    std: list[float]
    regions: list[tuple[Region, ...]]
    spread: list[tuple[float, float, float]]


def _measure_deviations(task: IntervalTask) -> _Deviations:
    padded, fits = task.padded, len(task.groups)
    residual, total = task.residual, np.where(padded.present, task.residual, 0)
    region = task.form.regions(task.solved.theta, padded.points)
    mean = total.sum(axis=1) / padded.count
    std = np.sqrt(np.maximum((total**2).sum(axis=1) / padded.count - mean**2, 0))
    regions: list[tuple[Region, ...]] = [()] * fits
    if task.form.has_plateaus:
        index, values = (np.arange(fits)[:, None] * 3 + region)[padded.present], residual[padded.present]
        counts, sums, squares = (np.bincount(index, weights, 3 * fits) for weights in (None, values, values**2))
        safe = np.maximum(counts, 1)
        means = sums / safe
        stds = np.sqrt(np.maximum(squares / safe - means**2, 0))
        by_region = [
            Region(name, count, region_mean, region_std) if count else Region(name, 0, None, None)
            for name, count, region_mean, region_std in zip(
                REGIONS * fits, counts.tolist(), means.tolist(), stds.tolist(), strict=True
            )
        ]
        regions = [tuple(by_region[row : row + 3]) for row in range(0, 3 * fits, 3)]
    return _Deviations(mean.tolist(), std.tolist(), regions, _find_spread(task, residual, region))


def _find_gaps(task: IntervalTask) -> list[float | None]:
    """Return how far the law lies above the unpruned errors measured, in the mean over cells; None where none were."""
    if not task.form.has_plateaus:
        return [None] * len(task.groups)
    padded, points = task.padded, task.padded.points
    first = padded.present & np.diff(padded.cell, axis=1, prepend=-1).astype(bool)
    measured = first & (padded.column(task.groups, "dense_repeats") > 0)
    at_one = replace(points, density=np.zeros_like(points.density))
    over = np.expm1(task.form.evaluate(task.solved.theta, at_one)[0] - points.unpruned)
    counts = measured.sum(axis=1)
    gaps = np.where(counts > 0, np.where(measured, over, 0).sum(axis=1) / np.maximum(counts, 1), np.nan)
    return [None if math.isnan(gap) else gap for gap in gaps.tolist()]


def _find_spread(task: IntervalTask, residual: Numbers, region: NDArray[np.int64]) -> list[tuple[float, float, float]]:
    """Return the standard deviation of ``log(e / e_hat)`` of single networks, region by region."""
    fits = len(task.groups)
    group_of_row = np.repeat(np.arange(fits), [len(group.row_error) for group in task.groups])
    place = np.concatenate([group.row_point for group in task.groups]) + group_of_row * task.padded.points.count
    errors = np.concatenate([group.row_error for group in task.groups])
    predicted = (np.log1p(residual) + task.padded.points.error).ravel()[place]
    squares = (np.log(errors) - predicted) ** 2
    index = group_of_row * 3 + region.ravel()[place]
    count, total = (np.bincount(index, weights, 3 * fits).reshape(fits, 3) for weights in (None, squares))
    number, whole = count.sum(axis=1), total.sum(axis=1)
    freedom = np.maximum(number - task.box.free.sum(axis=1), 1)
    of_region = total / np.maximum(count, 1) * (number / freedom)[:, None]
    spread = np.sqrt(np.where(count >= ENOUGH_ROWS, of_region, (whole / freedom)[:, None]))
    return [(low, middle, high) for low, middle, high in spread.tolist()]
