"""From a batch of solved fits to results: deviations, regions, the spread of single networks, warnings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.laws.batch import Numbers, Pruned, to_parameters
from prunescope.laws.intervals import Task, Uncertainty, linear
from prunescope.laws.kinds import DENSE, EXPONENTS, Law
from prunescope.laws.measured import Measured
from prunescope.laws.results import Convergence, Fit, Interval, Region
from prunescope.laws.search import Found
from prunescope.laws.solve import deviation
from prunescope.laws.words import DIP, GAP, RISES, Evidence, bias_words, gap_words, warnings

REGIONS = ("plateau", "power law", "saturation")
# Neighbouring densities that are averaged, and standard errors below the unpruned error that are no accident there.
WINDOW, NOISE_OF_DIP = 3, 3.0
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


def assembled(task: Task, found: Found, known: Sequence[Uncertainty]) -> list[Fit]:
    """Return the results of a batch."""
    law, side_by_side, theta = task.law, task.side_by_side, task.solved.theta
    points, present, names = side_by_side.points, side_by_side.present, law.parameters
    residual, _ = deviation(law.form, points, theta)
    log_size = points.density
    if law.family:
        log_size = log_size + theta[:, [3]] * points.depth + theta[:, [4]] * points.width
    bends = isinstance(law.form, Pruned)
    region = region_of(theta, log_size, points.unpruned) if bends else np.ones_like(points.error, np.int64)
    tally = _tally(region, residual, present)
    total = np.where(present, residual, 0)
    mean = total.sum(axis=1) / side_by_side.count
    std = np.sqrt(np.maximum((total**2).sum(axis=1) / side_by_side.count - mean**2, 0))
    spread = _spread(task, residual, region)
    parameters = to_parameters(names, theta)
    free = task.where.low < task.where.high
    results = []
    for row, (group, unsure, quick_one) in enumerate(zip(task.groups, known, linear(task, 0), strict=True)):
        named = dict(zip(names, parameters[row].tolist(), strict=True))
        open_names = [name for name, is_free in zip(names, free[row], strict=True) if is_free]
        rise = float((group.error / group.unpruned).max())
        telling = unsure.told & (not bends or rise >= RISES or np.array([name in EXPONENTS for name in names]))
        intervals, quick = (
            _named(names, free[row], told, low, high)
            for told, low, high in (
                # Whatever noise did to the estimate, an interval that leaves it out would only puzzle.
                (telling, np.minimum(unsure.low, theta[row]), np.maximum(unsure.high, theta[row])),
                (quick_one.told, quick_one.low, quick_one.high),
            )
        )
        bound = {name: int(side) for name, side in zip(names, task.rough.bound[row], strict=True) if side}
        pruned = group.density < 1 if law is not DENSE else np.ones(len(group), bool)
        p_name = names[2] if bends else ""
        evidence = Evidence(
            parameters=named,
            free=open_names,
            bound=bound,
            untold=[name for name in open_names if intervals[name] is None] if unsure.by != "not asked for" else [],
            flat=[name for name, each in zip(names, np.abs(task.rough.flat[row]) > 0.3, strict=True) if each],
            chance=group.chance,
            points=int(pruned.sum()),
            cells=group.cells,
            sparsest=float(group.density.min()),
            densest_rise=rise,
            saturated=int(tally.count[row, 2]) if bends else 1,
            turning_density=_turning(group, named, p_name) if bends else 0.0,
            dip=_dip(group, task.noise[row]) if bends else 0.0,
            above_chance=int((group.error > group.ceiling).sum()),
            levels={column: len(np.unique(getattr(group, column))) for column in ("depth", "width")}
            if law.family
            else {},
            starts=found.starts,
            agreed=int(found.agreed[row]),
            converged=bool(task.solved.converged[row]),
        )
        told = list(warnings(law.name, evidence))
        gap = _gap(law, group, theta[row]) if bends else None
        told += [gap_words(gap)] if gap is not None and gap > GAP else []
        told += _pulled(names, theta[row], unsure)
        results.append(
            Fit(
                group=group.key,
                law=law.name,
                parameters=named,
                fixed=tuple(name for name in names if name not in open_names),
                intervals=intervals,
                quick_intervals=quick,
                level=task.level,
                intervals_by=unsure.by,
                bias=_bias(names, theta[row], unsure),
                mean_deviation=float(mean[row]),
                std_deviation=float(std[row]),
                regions=_regions(tally, row) if bends else (),
                points=len(group),
                cells=group.cells,
                ladders=group.ladders,
                seed_noise=group.seed_noise,
                unpruned_gap=gap,
                convergence=Convergence(evidence.converged, found.starts, evidence.agreed),
                warnings=tuple(told),
                draws=unsure.draws,
                spread=(float(spread[row, 0]), float(spread[row, 1]), float(spread[row, 2])),
            )
        )
    return results


def _named(
    names: Sequence[str], free: NDArray[np.bool_], told: NDArray[np.bool_], low: Numbers, high: Numbers
) -> dict[str, Interval | None]:
    bottom, top = to_parameters(names, low).tolist(), to_parameters(names, high).tolist()
    return {
        name: (bottom[place], top[place]) if told[place] else None for place, name in enumerate(names) if free[place]
    }


def _regions(tally: _Tally, row: int) -> tuple[Region, ...]:
    found = []
    for place, name in enumerate(REGIONS):
        count = int(tally.count[row, place])
        mean, std = float(tally.mean[row, place]), float(tally.std[row, place])
        found.append(Region(name, count, mean if count else None, std if count else None))
    return tuple(found)


def _turning(group: object, named: dict[str, float], p_name: str) -> float:
    """Return the density at which the high plateau begins, in the median over points."""
    shape = group.depth ** named.get("phi", 0.0) * group.width ** named.get("psi", 0.0)  # type: ignore[attr-defined]
    return float(np.median(named[p_name] / shape))


def _dip(group: Measured, noise: float) -> float:
    """Return how far the error falls below the unpruned error at some densities, if by more than noise would do."""
    ratio = group.row_error / group.unpruned[group.row_point] - 1
    pruned = group.density[group.row_point] < 1
    if not (ratio[pruned] < -DIP).any():
        return 0.0
    densities = np.round(np.log(group.density[group.row_point][pruned]), 2)
    level = np.unique(densities, return_inverse=True)[1].reshape(-1)
    count, total = np.bincount(level), np.bincount(level, ratio[pruned])
    window = np.ones(min(WINDOW, len(count)))
    counts, totals = np.convolve(count, window, "valid"), np.convolve(total, window, "valid")
    mean = totals / np.maximum(counts, 1)
    clear = (mean < -DIP) & (mean + NOISE_OF_DIP * noise / np.sqrt(np.maximum(counts, 1)) < 0)
    return float(-mean[clear].min(initial=0.0))


def _spread(task: Task, residual: Numbers, region: NDArray[np.int64]) -> Numbers:
    """Return the standard deviation of ``log(e / e_hat)`` of single networks, region by region."""
    fits = len(task.groups)
    start = np.arange(fits) * residual.shape[1]
    place = np.concatenate([group.row_point + begin for group, begin in zip(task.groups, start, strict=True)])
    owner = np.repeat(np.arange(fits), [len(group.row_error) for group in task.groups])
    log_error = np.concatenate([np.log(group.row_error) for group in task.groups])
    predicted = (np.log1p(residual) + task.side_by_side.points.error).ravel()[place]
    squares = (log_error - predicted) ** 2
    index = owner * 3 + region.ravel()[place]
    count, total = (np.bincount(index, weights, 3 * fits).reshape(fits, 3) for weights in (None, squares))
    rows, whole = count.sum(axis=1), total.sum(axis=1)
    free = (task.where.low < task.where.high).sum(axis=1)
    pooled = whole / np.maximum(rows - free, 1)
    grown = rows / np.maximum(rows - free, 1)
    own = total / np.maximum(count, 1) * grown[:, None]
    return np.asarray(np.sqrt(np.where(count >= ENOUGH_ROWS, own, pooled[:, None])))


def _gap(law: Law, group: Measured, theta: Numbers) -> float | None:
    """Return how far the law lies above the unpruned errors measured, in the mean over cells."""
    first = np.unique(group.cell, return_index=True)[1]
    first = first[group.dense_repeats[first] > 0]
    if not len(first):
        return None
    at_one = replace(group.points.part(first), density=np.zeros(len(first)))
    return float(np.expm1(law.form.evaluate(theta[None], at_one)[0][0] - at_one.unpruned).mean())


def _bias(names: Sequence[str], theta: Numbers, unsure: Uncertainty) -> dict[str, float]:
    """Return the bias in the parameters themselves."""
    if unsure.freed is None:
        return {}
    difference = to_parameters(names, theta) - to_parameters(names, unsure.freed)
    return dict(zip(names, difference.tolist(), strict=True))


def _pulled(names: Sequence[str], theta: Numbers, unsure: Uncertainty) -> list[str]:
    """Tell of estimates that noise has taken out of their own intervals."""
    outside = unsure.told & ((theta < unsure.low) | (theta > unsure.high))
    if unsure.freed is None or not outside.any():
        return []
    bias = _bias(names, theta, unsure)
    return [bias_words({name: bias[name] for place, name in enumerate(names) if outside[place]})]
