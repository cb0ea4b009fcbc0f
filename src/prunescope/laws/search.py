"""The best of many seeded starts, for one fit or for thousands side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunescope.laws.batch import BatchForm, Numbers, Points
from prunescope.laws.solve import BLOCK, STEPS, Solved, cores, normal, solve

# The starts of a large fit run on a sample of its points; the ends that differ are then carried on with all points.
SAMPLE = 128
CARRIED_ON = 3
# Steps that a start gets to show where it leads; few need half of them.
ROUGH = 40
# No sample of points makes the best end look so many times worse than another.
HOPELESS = 3.0
# Ends whose sums of squares differ by less than this share are one minimum.
SAME = 1e-3
# With very many fits only the starts that begin best are followed, and less far before the best is carried on.
MANY, TRIED, FOLLOWED = 400_000, 8, 2
# Numbers held at a time for starts side by side.
TOGETHER = 1_000_000


@dataclass(frozen=True)
class SearchResult:
    """The best end of each fit, how many starts were followed and how many ended there."""

    best: Solved
    starts: int
    agreed: NDArray[np.int64]


def search(
    form: BatchForm, points: Points, starts: Numbers, low: Numbers, high: Numbers, seed: int = 0
) -> SearchResult:
    """Return the best end of each fit.

    Parameters
    ----------
    points
        ``[n]`` for one fit, ``[fits, n]`` for many.
    starts
        ``[fits, starts, coordinates]``.
    """
    if points.error.ndim == 1:
        return _one(form, points, starts[0], low, high, seed)
    return _many(form, points, starts, low, high, seed)


def _one(form: BatchForm, points: Points, starts: Numbers, low: Numbers, high: Numbers, seed: int) -> SearchResult:
    sampled = points.count > 2 * SAMPLE
    rough = sample(points, SAMPLE, seed) if sampled else points
    ends = solve(form, rough, starts, low, high, 1e-7, ROUGH if sampled else STEPS)
    order = np.argsort(ends.cost, kind="stable")
    # Ends of about one sum of squares are one minimum; `kind` numbers the minima, the lowest first.
    steps = np.diff(ends.cost[order]) > SAME * ends.cost[order][:-1] + 1e-30
    kind = np.r_[0, np.cumsum(steps)]
    first = np.unique(kind, return_index=True)[1][: CARRIED_ON if sampled else 1]
    followed = order[first[ends.cost[order[first]] <= HOPELESS * ends.cost[order[0]] + 1e-30]]
    carried = solve(form, points, ends.theta[followed], low, high)
    winner = int(np.argmin(carried.cost))
    arrived = np.flatnonzero(carried.cost <= carried.cost[winner] * (1 + SAME) + 1e-30)
    agreed = np.isin(kind, arrived)
    rows = slice(winner, winner + 1)
    best = Solved(carried.theta[rows], carried.cost[rows], carried.converged[rows], carried.hessian[rows])
    return SearchResult(best, len(starts), np.array([np.count_nonzero(agreed)]))


def _many(form: BatchForm, points: Points, starts: Numbers, low: Numbers, high: Numbers, seed: int) -> SearchResult:
    fits, count, _ = starts.shape
    low, high = np.broadcast_to(low, starts[:, 0].shape), np.broadcast_to(high, starts[:, 0].shape)
    many = fits * points.count > MANY and count > FOLLOWED
    if many:
        begun = _costs(form, points, starts[:, :TRIED])
        chosen = np.argsort(begun, axis=0, kind="stable")[:FOLLOWED]
        starts = starts[np.arange(fits), chosen].transpose(1, 0, 2)
        count = FOLLOWED
    rough = samples(points, SAMPLE, seed) if points.count > 2 * SAMPLE else points
    # All starts of all fits side by side, as long as that is not too much to hold.
    together = max(1, min(count, TOGETHER // max(1, fits * rough.count)))
    ends = []
    for first in range(0, count, together):
        part = starts[:, first : first + together].reshape(-1, starts.shape[2])
        rows = np.repeat(np.arange(fits), len(part) // fits)
        ends.append(
            solve(form, rough.fits(rows), part, low[rows], high[rows], 1e-4 if many else 1e-6, ROUGH if many else STEPS)
        )
    costs = np.concatenate([each.cost.reshape(fits, -1) for each in ends], axis=1)
    thetas = np.concatenate([each.theta.reshape(fits, -1, starts.shape[2]) for each in ends], axis=1)
    done = solve(form, points, thetas[np.arange(fits), costs.argmin(axis=1)], low, high)
    agreed = np.count_nonzero(costs <= costs.min(axis=1)[:, None] * (1 + SAME) + 1e-30, axis=1)
    return SearchResult(done, count, agreed)


def samples(points: Points, count: int, seed: int) -> Points:
    """Return some points of each of many fits, at random, none of the padding as long as there are others."""
    keys = np.random.default_rng(seed).random(points.error.shape)
    if points.weight is not None:
        keys = keys + (points.weight == 0)
    picked = np.sort(np.argpartition(keys, count, axis=1)[:, :count], axis=1)

    def taken(values: Numbers) -> Numbers:
        return np.take_along_axis(np.broadcast_to(values, points.error.shape), picked, axis=1)

    return Points(
        taken(points.error),
        taken(points.unpruned),
        taken(points.density),
        taken(points.depth),
        taken(points.width),
        None if points.weight is None else taken(points.weight),
    )


def _costs(form: BatchForm, points: Points, starts: Numbers) -> Numbers:
    """Return the cost of each start of each fit, ``[starts, fits]``, on all cores."""
    fits, count, _ = starts.shape
    size = max(1, 16 * BLOCK // points.count)

    def one(task: tuple[int, int]) -> Numbers:
        start, first = task
        rows = slice(first, first + size)
        with np.errstate(all="ignore"):
            return normal(form, points.fits(rows), starts[rows, start])[0]

    tasks = [(start, first) for start in range(count) for first in range(0, fits, size)]
    with ThreadPoolExecutor(cores()) as pool:
        return np.concatenate(list(pool.map(one, tasks))).reshape(count, fits)


def sample(points: Points, count: int, seed: int) -> Points:
    """Return some of one fit's points, spread evenly over their densities."""
    shuffled = np.random.default_rng(seed).permutation(points.count)
    ordered = shuffled[np.argsort(points.density[shuffled], kind="stable")]
    picked = ordered[np.linspace(0, points.count - 1, count).round().astype(np.int64)]
    return points.part(np.sort(picked))
