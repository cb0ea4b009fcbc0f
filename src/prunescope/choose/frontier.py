"""The frontier: the fewest parameters at each error, which start leads there, and what starting elsewhere costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunescope.choose.family import Family
from prunescope.choose.member_curves import MemberCurves
from prunescope.choose.results import FrontierStep, Insight, rounded
from prunescope.choose.smallest import Numbers, smallest_member

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
        Which to start with, -1 where none reaches the bound.
    log_density
        How far to prune it.
    parameters
        What survives.
    by_member
        What every member would come to, ``[bounds, members]``; infinity where it does not reach the bound.
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
    """Return errors from just above the best member's unpruned error up to the highest one asked for."""
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
    """Say what matching an unpruned error costs: of the member whose unpruned error is next above the choice's."""
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
