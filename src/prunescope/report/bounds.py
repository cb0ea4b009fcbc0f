"""Which error bounds a report is about: the usual one of a family, and those of its slider."""

from __future__ import annotations

import numpy as np

from prunescope.report.groups import ReportGroup

# Bounds that are asked for, besides the one that the report is about.
HOW_MANY = 32
# The report is about this many times the lowest unpruned error, unless a bound is named or errors rise less than that.
USUAL = 1.25
# No bound beyond this share of the high plateau: every network keeps it.
BELOW_PLATEAU = 0.95


def usual_bound(group: ReportGroup) -> float:
    """Return the bound that a report is about where none is named."""
    lowest = group.cells.unpruned if np.isfinite(group.cells.unpruned).all() else group.cells.error
    low, high = float(lowest.min()), float(group.cells.error.max())
    return float(f"{min(USUAL * low, (low * max(low, high)) ** 0.5):.3g}")


def bounds_for(group: ReportGroup, bound: float) -> tuple[float, ...]:
    """Return round bounds from just above the lowest unpruned error to the highest error, `bound` among them."""
    if group.fit is None:
        return ()
    low = float(group.cells.unpruned.min()) * 1.01
    high = min(float(group.cells.error.max()), BELOW_PLATEAU * group.fit.parameters["eps_up"])
    if not low < high:
        return (bound,)
    bounds = {float(f"{value:.3g}") for value in np.geomspace(low, high, HOW_MANY).tolist()}
    return tuple(sorted(bounds | {bound}))
