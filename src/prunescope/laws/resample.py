"""Whole cells, with all their ladders, drawn with replacement and fitted again.

Points of one cell are not independent: they share networks, a subsample, and a measured unpruned error. So whole cells
are drawn, never points.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from prunescope.laws.batch import BatchForm, Numbers, PruningForm
from prunescope.laws.data import GroupData
from prunescope.laws.free_plateaus import FreePlateaus, solve_freed
from prunescope.laws.models import Box
from prunescope.laws.solve import solve


def drawn_cells(cells: int, draws: int, seed: int) -> Numbers:
    """Return how often each cell is drawn, ``[draws, cells]``."""
    random = np.random.default_rng(seed)
    return random.multinomial(cells, np.full(cells, 1 / cells), draws).astype(np.float64)


def resampled(form: BatchForm, group: GroupData, theta: Numbers, where: Box, weights: Numbers) -> Numbers:
    """Return the coordinates fitted to each draw, the unpruned errors taken as they are."""
    size = max(1, 4_000_000 // len(group))
    found = []
    for first in range(0, len(weights), size):
        weight = weights[first : first + size][:, group.cell]
        start = np.repeat(theta[None], len(weight), axis=0)
        found.append(solve(form, replace(group.points, weight=weight), start, where.low, where.high, 1e-8).theta)
    return np.concatenate(found)


def resampled_freed(
    form: PruningForm, problem: FreePlateaus, theta: Numbers, plateaus: Numbers, where: Box, weights: Numbers
) -> Numbers:
    """Return the coordinates fitted to each draw, each cell's plateau fitted along."""
    start = np.repeat(theta[None], len(weights), axis=0)
    return solve_freed(form, problem, start, where.low, where.high, plateaus[None], weights).theta
