"""The optimum over real depths and widths: where the family would be densest in good members."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from prunescope.choose.counts import fit_power_law
from prunescope.choose.family import Family
from prunescope.choose.results import ContinuousOptimum
from prunescope.choose.smallest import MemberSizes, Numbers, Truths, needed_density

# Points along each dimension, and how often the grid closes in on its best point.
POINTS, ZOOMS = 17, 12
# By how much a grid closes in: it keeps the two neighbours on each side.
KEPT = 4 / (POINTS - 1)
EDGE = 1e-3


def minimize_within(
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
        half = (high - low) * KEPT / 2
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
        return MemberSizes(depths, widths, prunable(depths, widths), other), Truths(family.theta, unpruned[None])

    lowest = float(floor.min())

    def parameters(depths: Numbers, widths: Numbers) -> Numbers:
        members, truth = real(depths, widths)
        return members.parameters(np.maximum(needed_density(members, truth, bound)[0], lowest))

    optimum = minimize_within(parameters, depth, width)
    if optimum is None:
        return None
    at = np.array([optimum[0]]), np.array([optimum[1]])
    members, truth = real(*at)
    density = max(float(needed_density(members, truth, bound)[0, 0]), lowest)
    return ContinuousOptimum(optimum[0], optimum[1], float(np.exp(density)), float(parameters(*at)[0]), optimum[2])
