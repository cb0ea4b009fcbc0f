"""Intervals from the profile of the sum of squares: how far each parameter can go while the others make up for it.

This is what finds a direction that the data hardly tell: an interval then runs into the box, and says so, where a
linear one would look precise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunescope.laws.batch import Numbers
from prunescope.laws.models import Box

OUTWARD, INWARD = 12, 6


@dataclass(frozen=True)
class Profile:
    """Ends of the intervals.

    Attributes
    ----------
    low, high
        ``[fits, coordinates]``.
    open_low, open_high
        Whether the sum of squares stays below the threshold up to the bound.
    ends
        The fits at the ends, ``[fits, 2 * coordinates, coordinates]``.
    """

    low: Numbers
    high: Numbers
    open_low: NDArray[np.bool_]
    open_high: NDArray[np.bool_]
    ends: Numbers


Minimise = Callable[[NDArray[np.int64], Numbers, Numbers, Numbers], tuple[Numbers, Numbers]]


def profile(theta: Numbers, cost: Numbers, where: Box, rise: Numbers, reach: Numbers, minimise: Minimise) -> Profile:
    """Follow each coordinate outward until the cost has risen enough.

    Parameters
    ----------
    theta, cost
        The best of each fit.
    rise
        ``[fits, coordinates]``: by how much the cost may rise.
    reach
        ``[fits, coordinates]``: a guess of how far that is.
    minimise
        Given which fits, where they start and the box of each: the lowest cost, and where it lies.
    """
    fits, count = theta.shape
    coordinate = np.tile(np.repeat(np.arange(count), 2), fits)
    sign = np.tile(np.array([-1.0, 1.0]), fits * count)
    fit = np.repeat(np.arange(fits), 2 * count)
    low, high = where.low[fit], where.high[fit]
    tasks = np.arange(len(fit))
    best = theta[fit]
    centre, limit = best[tasks, coordinate], np.where(sign < 0, low[tasks, coordinate], high[tasks, coordinate])
    allowed = rise[fit, coordinate]
    inside, inside_rise, inside_theta = centre.copy(), np.zeros(len(fit)), best.copy()
    outside, outside_rise = limit.copy(), np.full(len(fit), np.nan)
    step = np.clip(reach[fit, coordinate], 1e-6, 1.0)
    fixed = low[tasks, coordinate] == high[tasks, coordinate]
    open_end = centre == limit
    live = np.flatnonzero(~open_end & ~fixed)

    def raised(rows: NDArray[np.int64], at: Numbers) -> tuple[Numbers, Numbers]:
        bottom, top, start = low[rows].copy(), high[rows].copy(), inside_theta[rows].copy()
        each = np.arange(len(rows))
        for side in (bottom, top, start):
            side[each, coordinate[rows]] = at
        found, end = minimise(fit[rows], start, bottom, top)
        return found - cost[fit[rows]], end

    for turn in range(OUTWARD + INWARD):
        if turn == OUTWARD:
            live = live[~np.isnan(outside_rise[live])]
        if not len(live):
            break
        bracketed = ~np.isnan(outside_rise[live])
        away = inside[live] + sign[live] * step[live]
        past = sign[live] * (away - limit[live]) >= 0
        straight = _between(live, inside, inside_rise, outside, outside_rise, allowed)
        at = np.where(bracketed, straight, np.where(past, limit[live], away))
        found, ends = raised(live, at)
        below = found < allowed[live]
        rows = live[below]
        inside[rows], inside_rise[rows], inside_theta[rows] = at[below], np.maximum(found[below], 0), ends[below]
        rows = live[~below]
        outside[rows], outside_rise[rows] = at[~below], found[~below]
        step[live[below]] *= 2
        arrived = below & (at == limit[live])
        open_end[live[arrived]] = True
        close = np.abs(found - allowed[live]) <= 0.01 * allowed[live]
        gap = np.abs(outside[live] - inside[live])
        narrow = ~np.isnan(outside_rise[live]) & (gap < 1e-3 * (1e-3 + np.abs(inside[live] - centre[live])))
        live = live[~(arrived | close | narrow)]
    # Where the steps ran out before the bound, as far as is known the interval is open.
    open_end |= ~fixed & np.isnan(outside_rise) & (inside_rise < 0.9 * allowed)
    crossing = _between(tasks, inside, inside_rise, outside, outside_rise, allowed)
    edge = np.where(open_end, limit, np.where(np.isnan(outside_rise), inside, crossing))
    grid = edge.reshape(fits, count, 2)
    opened = open_end.reshape(fits, count, 2)
    ends = inside_theta.reshape(fits, 2 * count, count)
    return Profile(grid[..., 0], grid[..., 1], opened[..., 0], opened[..., 1], ends)


def _between(
    live: NDArray[np.int64],
    inside: Numbers,
    inside_rise: Numbers,
    outside: Numbers,
    outside_rise: Numbers,
    allowed: Numbers,
) -> Numbers:
    """Return where the root of the rise, which is nearly straight, would cross what is allowed."""
    start, end = np.sqrt(inside_rise[live]), np.sqrt(np.maximum(outside_rise[live], 1e-300))
    share = (np.sqrt(allowed[live]) - start) / np.maximum(end - start, 1e-300)
    share = np.clip(np.nan_to_num(share, nan=0.5), 0.02, 0.98)
    return np.asarray(inside[live] + share * (outside[live] - inside[live]))
