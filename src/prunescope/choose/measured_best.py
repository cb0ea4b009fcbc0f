"""What was measured, whatever a law makes of it: the smallest network whose error kept the bound."""

from __future__ import annotations

import numpy as np

from prunescope.choose.family import Family
from prunescope.choose.limits import Limits
from prunescope.choose.results import MeasuredBest, rounded


def find_measured_best(family: Family, bound: float, limits: Limits) -> MeasuredBest | None:
    """Return the smallest pruned network of a family's members that kept a bound in the mean over replicates."""
    cells, best, smallest = family.cells, np.inf, None
    keeps = (cells.examples == float(family.examples or 1)) & (cells.density < 1) & (cells.error <= bound)
    keeps = np.flatnonzero(keeps & (cells.density >= limits.min_density))
    depth, width = cells.depth[keeps], cells.width[keeps]
    for member in range(len(family)):
        count = family.counts[member]
        if limits.max_multiplications is not None and not count.multiplications <= limits.max_multiplications:
            continue
        for point in keeps[(depth == family.depth[member]) & (width == family.width[member])].tolist():
            parameters = count.rest + count.prunable * float(cells.density[point])
            if parameters < min(best, limits.max_parameters or np.inf):
                best = parameters
                smallest = MeasuredBest(
                    depth=family.depth_of(member),
                    width=family.width_of(member),
                    density=float(cells.density[point]),
                    error=float(cells.error[point]),
                    repeats=int(cells.repeats[point]),
                    parameters=rounded(parameters, count.how),
                )
    return smallest
