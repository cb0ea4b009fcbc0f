"""The frontier: the fewest parameters at each error, and the optimum over real depths and widths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunescope.choose.counts import Member, fit_power_law, rounded
from prunescope.choose.family import Family
from prunescope.choose.member_curves import MemberCurves
from prunescope.choose.smallest import MemberSizes, Numbers, Truths, form_of, needed_density, smallest_member


@dataclass(frozen=True)
class ContinuousOptimum:
    """The optimum over real depths and widths within what was measured."""

    depth: float
    width: float
    density: float
    parameters: float
    at_edge: bool


@dataclass(frozen=True)
class FrontierStep(Member):
    """One error of the frontier: which member to start with to be smallest there, and how far to prune it."""

    error: float
    depth: int | None
    width: float | None
    density: float
    parameters: float
    over_unpruned: float
    largest_times: float | None


@dataclass(frozen=True)
class Insight(Member):
    """What matching a member's unpruned error by pruning that member costs, against the smallest way to that error.

    Attributes
    ----------
    error
        The member's unpruned error, and the tolerance within which it is matched.
    matched_parameters
        Parameters of the member, pruned as far as the tolerance allows.
    smallest
        The smallest member at that error, pruned until its error is `over_unpruned` times its unpruned error.
    """

    depth: int | None
    width: float | None
    error: float
    matched_parameters: float
    smallest: FrontierStep
    times: float


# How near a member's unpruned error counts as matching it.
MATCHED = 0.01


@dataclass(frozen=True)
class Frontier:
    """The smallest pruned network at each bound, one value each.

    Attributes
    ----------
    bound
        Errors.
    member
        Which member to start with; -1 where none reaches the bound.
    log_density
        How far to prune it.
    parameters
        Surviving parameters.
    by_member
        The parameters of every member, ``[bounds, members]``; infinity where it does not reach the bound.
    """

    bound: Numbers
    member: NDArray[np.int64]
    log_density: Numbers
    parameters: Numbers
    by_member: Numbers


def compute_frontier(curves: MemberCurves, bounds: Numbers, lowest: Numbers) -> Frontier:
    """Return the frontier by the first truth at some bounds; no density below a member's `lowest` is taken."""
    density = np.stack([curves.needed(bound)[0] for bound in bounds.tolist()])
    density = np.maximum(density, lowest)
    by_member = curves.sizes.parameters(density)
    best = smallest_member(by_member)
    rows = np.arange(len(bounds))
    return Frontier(bounds, best, density[rows, best], by_member[rows, best], by_member)


def frontier_bounds(curves: MemberCurves, highest: float, count: int = 40) -> Numbers:
    """Return errors from just above the best member's unpruned error up to `highest`."""
    low = float(np.exp(curves.truths.unpruned.min())) * (1 + MATCHED)
    return np.geomspace(low, max(low * 1.001, highest), count)


def describe_steps(family: Family, curve: Frontier) -> list[FrontierStep]:
    """Describe a frontier error by error."""
    sizes = family.sizes
    largest = int(np.argmax(sizes.prunable + sizes.rest))
    steps = []
    for row, bound in enumerate(curve.bound.tolist()):
        member = int(curve.member[row])
        if member < 0:
            continue
        times = float(curve.by_member[row, largest] / curve.parameters[row])
        steps.append(
            FrontierStep(
                error=bound,
                depth=family.depth_of(member),
                width=family.width_of(member),
                density=float(np.exp(curve.log_density[row])),
                parameters=rounded(float(curve.parameters[row]), family.counts[member].how),
                over_unpruned=float(bound / np.exp(family.unpruned.mean[member])),
                largest_times=times if np.isfinite(times) else None,
            )
        )
    return steps


def compare_matching(family: Family, floor: Numbers, unpruned: float) -> Insight | None:
    """Say what matching an unpruned error costs, for the member whose unpruned error is next above the choice's."""
    if len(family) < 2:
        return None
    mean = family.unpruned.mean
    above = np.where(mean > unpruned + MATCHED, mean, np.inf)
    if not np.isfinite(above).any():
        return None
    member = int(above.argmin())
    error = float(np.exp(mean[member]) * (1 + MATCHED))
    curve = compute_frontier(family.likeliest, np.array([error]), floor)
    matched = float(curve.by_member[0, member])
    there = describe_steps(family, curve)
    if not there or not np.isfinite(matched):
        return None
    return Insight(
        depth=family.depth_of(member),
        width=family.width_of(member),
        error=error,
        matched_parameters=rounded(matched, family.counts[member].how),
        smallest=there[0],
        times=matched / float(curve.parameters[0]),
    )


# Points along each dimension, and how often the grid zooms in on its best point.
POINTS, ZOOMS = 17, 12
# How much each zoom shrinks the grid: to two neighbours on each side.
SHRINK = 4 / (POINTS - 1)
EDGE = 1e-3


def _minimize_within(
    value: Callable[[Numbers, Numbers], Numbers], depth: tuple[float, float], width: tuple[float, float]
) -> tuple[float, float, bool] | None:
    """Return the depth and width of the lowest value within a box, and whether it lies on the box's edge.

    Parameters
    ----------
    value
        Of arrays of depths and widths; infinity where there is none.
    """
    box = np.log([depth, width])
    low, high = box[:, 0].copy(), box[:, 1].copy()
    best = np.full(2, np.nan)
    for _ in range(ZOOMS):
        axes = [np.linspace(low[i], high[i], POINTS if high[i] > low[i] else 1) for i in range(2)]
        deep, wide = (axis.ravel() for axis in np.meshgrid(*axes, indexing="ij"))
        values = value(np.exp(deep), np.exp(wide))
        if not np.isfinite(values).any():
            return None
        place = int(np.argmin(values))
        best = np.array([deep[place], wide[place]])
        half = (high - low) * SHRINK / 2
        low, high = np.maximum(box[:, 0], best - half), np.minimum(box[:, 1], best + half)
    span = box[:, 1] - box[:, 0]
    at_edge = bool(((span > 0) & ((best - box[:, 0] < EDGE * span) | (box[:, 1] - best < EDGE * span))).any())
    return float(np.exp(best[0])), float(np.exp(best[1])), at_edge


def find_continuous_optimum(family: Family, bound: float, floor: Numbers) -> ContinuousOptimum | None:
    """Return the optimum over real depths and widths between the smallest and the largest member."""
    depth, width = ((float(values.min()), float(values.max())) for values in (family.depth, family.width))
    if depth[0] == depth[1] and width[0] == width[1]:
        return None
    sizes = family.sizes
    prunable, rest = (
        fit_power_law(family.depth, family.width, np.maximum(numbers, 1e-12))
        for numbers in (sizes.prunable, sizes.rest)
    )
    no_rest = not (sizes.rest > 0).any()

    def real(depths: Numbers, widths: Numbers) -> tuple[MemberSizes, Truths]:
        other = np.zeros(len(depths)) if no_rest else rest(depths, widths)
        examples = np.full(len(depths), float(family.examples or 1))
        unpruned = family.unpruned_model.mean(depths, widths, examples)
        return MemberSizes(depths, widths, prunable(depths, widths), other), Truths(
            family.theta, unpruned[None], form_of(family.fit)
        )

    lowest = float(floor.min())

    def parameters(depths: Numbers, widths: Numbers) -> Numbers:
        members, truth = real(depths, widths)
        return members.parameters(np.maximum(needed_density(members, truth, bound)[0], lowest))

    optimum = _minimize_within(parameters, depth, width)
    if optimum is None:
        return None
    at = np.array([optimum[0]]), np.array([optimum[1]])
    members, truth = real(*at)
    density = max(float(needed_density(members, truth, bound)[0, 0]), lowest)
    return ContinuousOptimum(optimum[0], optimum[1], float(np.exp(density)), float(parameters(*at)[0]), optimum[2])
