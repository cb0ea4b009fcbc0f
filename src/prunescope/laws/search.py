"""Where a search may go and starts, and the best of many seeded starts: for one fit, or thousands side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from prunescope.laws.data import GroupData, Integers, Numbers, PaddedGroups, Points, pad
from prunescope.laws.forms import (
    DENSE,
    EXPONENTS,
    KAPPA_SCALE,
    PARAMETERS,
    SPARSE,
    Form,
    to_coordinates,
)
from prunescope.laws.solver import BLOCK, STEPS, RelativeDeviation, Solved, cores, solve

# Share of an interval's logarithm that counts as standing at a bound.
AT_BOUND = 1e-6
# The starts of a large fit run on a sample of its points; the ends that differ go on with all points.
SAMPLED_POINTS = 128
CARRIED_ON = 3
# Steps that a start gets to show where it leads; few need half of them.
ROUGH_STEPS = 40
# No sample of points makes the best end look so many times worse than another.
HOPELESS = 3.0
# Ends whose sums of squares differ by less than this share are one minimum.
SAME_MINIMUM = 1e-3
# With very many fits only the starts that begin best are followed, and less far before the best goes on.
MANY_POINTS, TRIED_STARTS, FOLLOWED_STARTS = 400_000, 8, 2
# Numbers held at a time for starts side by side.
NUMBERS_AT_ONCE = 1_000_000
# Where searches of the law of sparse networks start with the exponents of density, weights and examples: by column.
SLOPES = ((1, 0.3, 5.0), (3, 0.05, 1.0), (5, 0.05, 1.0))
# What the law of sparse networks explains, and the parameters that stand still where it leaves that out.
SPARSE_TERMS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "sparsity": MappingProxyType({"a_s": PARAMETERS["a_s"].low, "b_s": 1.0}),
        "size": MappingProxyType({"c_s": PARAMETERS["c_s"].low, "b_n": PARAMETERS["b_n"].low}),
        "data": MappingProxyType({"a_d": PARAMETERS["a_d"].low, "b_d": 1.0}),
    }
)


@dataclass(frozen=True)
class Box:
    """Bounds of the coordinates, for each group ``[groups, coordinates]``; equal bounds fix a coordinate."""

    low: Numbers
    high: Numbers

    def of(self, groups: int | Sequence[int] | Integers) -> Box:
        """Return the box of some groups."""
        rows = np.atleast_1d(groups)
        return Box(self.low[rows], self.high[rows])

    @property
    def free(self) -> NDArray[np.bool_]:
        """Which coordinates are not fixed."""
        return np.asarray(self.low < self.high)

    @property
    def room(self) -> Numbers:
        """How far coordinates may move; 1 where they are fixed."""
        return np.where(self.free, self.high - self.low, 1.0)


def make_box(form: Form, padded: PaddedGroups, fixed: Mapping[str, float], ceiling: Numbers) -> Box:
    """Return where the parameters of each group may lie.

    The high plateau lies between the lowest unpruned error and the error of guessing; everything else where its
    definition says.
    """
    names = form.parameters
    groups = len(padded.count)
    low, high = (np.tile(bound, (groups, 1)) for bound in form.bounds)
    for column, name in enumerate(names):
        if name == "c":
            high[:, column] = np.maximum(high[:, column], np.log(ceiling))
        if name in ("eps_up", "eps_0"):
            high[:, column] = np.log(ceiling)
            error = padded.points.unpruned if name == "eps_up" else padded.points.error
            lowest = np.where(padded.present, error, np.inf).min(axis=1)
            low[:, column] = np.minimum(lowest, high[:, column] - 1e-3)
        if name in fixed:
            low[:, column] = high[:, column] = to_coordinates((name,), np.array([fixed[name]]))[0]
    return Box(low, high)


def draw_starts(form: Form, padded: PaddedGroups, box: Box, count: int, seed: int) -> Numbers:
    """Return ``[groups, count, coordinates]`` to start from, drawn where the group's data lie."""
    points, present = padded.points, padded.present
    draw = np.random.default_rng(seed).random((count, len(form.parameters)))
    draw[0] = 0.5
    low, high = box.low[:, None, :], box.high[:, None, :]
    coordinates = np.zeros((len(present), count, len(form.parameters)))
    largest = np.where(present, points.error, -np.inf).max(axis=1)[:, None]
    for column, name in enumerate(form.parameters):
        share = draw[:, column]
        if name in ("eps_up", "eps_0"):
            start = np.minimum(largest, high[..., column])
            coordinates[..., column] = start + (high[..., column] - start) * share
        elif name in ("gamma", "beta", "alpha"):
            coordinates[..., column] = np.log(0.4) + (np.log(5.0) - np.log(0.4)) * share
        elif name in EXPONENTS:
            coordinates[..., column] = 0.2 + 1.6 * share
        elif name == "kappa":
            coordinates[..., column] = KAPPA_SCALE * (share - 0.5)
    if form is DENSE:
        smallest = np.where(present, points.error, np.inf).min(axis=1)[:, None]
        for column, name in ((1, "width"), (3, "depth")):
            middle = _middle(getattr(points, name), present)
            falling = np.exp(coordinates[..., column + 1]) * middle
            coordinates[..., column] = smallest - 0.5 + falling + (draw[:, column] - 0.5)
        coordinates[..., 5] = smallest - 0.1 - 3 * draw[:, 5]
        return np.clip(coordinates, low, high)
    if form is SPARSE:
        return np.clip(_draw_sparse(points, present, draw), low, high)
    within = np.clip(coordinates, low, high)
    depth, width = (_middle(values, present) for values in (points.depth, points.width))
    shape = within[..., 3] * depth + within[..., 4] * width if form.family else 0.0
    densities = np.where(present, points.density, np.nan)
    sparsest, densest = np.nanmin(densities, axis=1)[:, None], np.nanmax(densities, axis=1)[:, None]
    turning = sparsest - 0.5 + (densest - sparsest) * draw[:, 2] + shape
    if "b" in form.parameters:
        # b such that the curve nears its high plateau at the turning point.
        coordinates[..., 1] = within[..., 0] + np.exp(within[..., 2]) * turning
    else:
        coordinates[..., 2] = turning
    return np.clip(coordinates, low, high)


def _draw_sparse(points: Points, present: NDArray[np.bool_], draw: Numbers) -> Numbers:
    """Return starts at which each term of the law of sparse networks has a share of the smallest loss in the middle."""
    smallest = np.where(present, points.error, np.inf).min(axis=1)[:, None]
    size, examples = (_middle(values, present) for values in (points.depth, points.width))
    by_density, by_weights, by_data = (
        np.log(low) + np.log(high / low) * draw[:, column] for column, low, high in SLOPES
    )
    left = smallest - 2 * draw[:, 2] + np.exp(by_weights) * size
    coordinates = np.empty((len(present), len(draw), draw.shape[1]))
    coordinates[..., 0] = left + 4 * (draw[:, 0] - 0.5)
    coordinates[..., 2] = left
    coordinates[..., 4] = examples + (smallest - 1 - 2 * draw[:, 4]) / np.exp(by_data)
    coordinates[..., 6] = smallest - 0.1 - 3 * draw[:, 6]
    for column, slope in ((1, by_density), (3, by_weights), (5, by_data)):
        coordinates[..., column] = slope
    return coordinates


def _middle(values: Numbers, present: NDArray[np.bool_]) -> Numbers:
    return np.asarray((np.where(present, values, 0).sum(axis=1) / present.sum(axis=1))[:, None])


def fix_unvaried(form: Form, group: GroupData, vary: Sequence[str] | None) -> dict[str, float]:
    """Return the parameters that a partial fit fixes: exponents of what does not vary, or is not in `vary`."""
    fixed = {}
    if form.family:
        for name, column in EXPONENTS.items():
            values = getattr(group, column)
            if (vary is not None and column not in vary) or values.min() == values.max():
                fixed[name] = 0.0
    if form is SPARSE and vary is not None:
        for term, parameters in SPARSE_TERMS.items():
            if term not in vary:
                fixed |= parameters
    if form is DENSE:
        if group.examples.min() == group.examples.max():
            fixed |= {"a": PARAMETERS["a"].low, "alpha": 1.0}
        if group.size.min() == group.size.max():
            fixed |= {"b": PARAMETERS["b"].low, "beta": 1.0}
    return fixed


@dataclass(frozen=True)
class SearchResult:
    """The best end of each fit, how many starts were followed and how many ended there."""

    best: Solved
    starts: int
    agreed: Integers


@dataclass(frozen=True)
class GroupSearch:
    """The search of a batch of groups: the groups, their box, and the ends."""

    padded: PaddedGroups
    box: Box
    result: SearchResult


def search_groups(form: Form, groups: Sequence[GroupData], fixed: Mapping[str, float], count: int, seed: int) -> Solved:
    """Return the best of many starts for each group, without uncertainty."""
    return search_batch(form, groups, fixed, count, seed).result.best


def search_batch(
    form: Form, groups: Sequence[GroupData], fixed: Mapping[str, float], count: int, seed: int
) -> GroupSearch:
    """Search each group of a batch from many starts."""
    padded = pad(groups)
    box = make_box(form, padded, fixed, np.array([group.ceiling for group in groups]))
    starts = draw_starts(form, padded, box, count, seed)
    points = groups[0].points if len(groups) == 1 else padded.points
    return GroupSearch(padded, box, search(form, points, starts, box.low, box.high, seed))


def search(form: Form, points: Points, starts: Numbers, low: Numbers, high: Numbers, seed: int = 0) -> SearchResult:
    """Return the best end of each fit.

    Parameters
    ----------
    points
        ``[n]`` for one fit, ``[fits, n]`` for many.
    starts
        ``[fits, starts, coordinates]``.
    """
    if points.error.ndim == 1:
        return _search_one(form, points, starts[0], low, high, seed)
    return _search_many(form, points, starts, low, high, seed)


def _search_one(form: Form, points: Points, starts: Numbers, low: Numbers, high: Numbers, seed: int) -> SearchResult:
    sampled = points.count > 2 * SAMPLED_POINTS
    rough = _sample_by_density(points, SAMPLED_POINTS, seed) if sampled else points
    ends = solve(form, rough, starts, low, high, 1e-7, ROUGH_STEPS if sampled else STEPS)
    order = np.argsort(ends.cost, kind="stable")
    # Ends of about one sum of squares are one minimum; `minimum` numbers them, the lowest first.
    steps = np.diff(ends.cost[order]) > SAME_MINIMUM * ends.cost[order][:-1] + 1e-30
    minimum = np.r_[0, np.cumsum(steps)]
    first = np.unique(minimum, return_index=True)[1][: CARRIED_ON if sampled else 1]
    followed = order[first[ends.cost[order[first]] <= HOPELESS * ends.cost[order[0]] + 1e-30]]
    carried = solve(form, points, ends.theta[followed], low, high)
    winner = int(np.argmin(carried.cost))
    arrived = np.flatnonzero(carried.cost <= carried.cost[winner] * (1 + SAME_MINIMUM) + 1e-30)
    agreed = np.array([np.count_nonzero(np.isin(minimum, arrived))])
    return SearchResult(carried.fits(slice(winner, winner + 1)), len(starts), agreed)


def _search_many(form: Form, points: Points, starts: Numbers, low: Numbers, high: Numbers, seed: int) -> SearchResult:
    fits, count, _ = starts.shape
    low, high = np.broadcast_to(low, starts[:, 0].shape), np.broadcast_to(high, starts[:, 0].shape)
    many = fits * points.count > MANY_POINTS and count > FOLLOWED_STARTS
    if many:
        costs = _start_costs(form, points, starts[:, :TRIED_STARTS])
        lowest = np.argsort(costs, axis=0, kind="stable")[:FOLLOWED_STARTS]
        starts = starts[np.arange(fits), lowest].transpose(1, 0, 2)
        count = FOLLOWED_STARTS
    sampled = points.count > 2 * SAMPLED_POINTS
    rough = _sample_each_fit(points, SAMPLED_POINTS, seed) if sampled else points
    tolerance, steps = (1e-4, ROUGH_STEPS) if many else (1e-6, STEPS)
    # All starts of all fits side by side, as long as that is not too much to hold.
    together = max(1, min(count, NUMBERS_AT_ONCE // max(1, fits * rough.count)))
    ends = []
    for first in range(0, count, together):
        begin = starts[:, first : first + together].reshape(-1, starts.shape[2])
        rows = np.repeat(np.arange(fits), len(begin) // fits)
        ends.append(solve(form, rough.fits(rows), begin, low[rows], high[rows], tolerance, steps))
    costs = np.concatenate([end.cost.reshape(fits, -1) for end in ends], axis=1)
    thetas = np.concatenate([end.theta.reshape(fits, -1, starts.shape[2]) for end in ends], axis=1)
    best = solve(form, points, thetas[np.arange(fits), costs.argmin(axis=1)], low, high)
    agreed = np.count_nonzero(costs <= costs.min(axis=1)[:, None] * (1 + SAME_MINIMUM) + 1e-30, axis=1)
    return SearchResult(best, count, agreed)


def _start_costs(form: Form, points: Points, starts: Numbers) -> Numbers:
    """Return the cost of each start of each fit, ``[starts, fits]``, on all cores."""
    fits, count, _ = starts.shape
    size = max(1, 16 * BLOCK // points.count)

    def costs_of_chunk(task: tuple[int, int]) -> Numbers:
        start, first = task
        rows = slice(first, first + size)
        with np.errstate(all="ignore"):
            return RelativeDeviation(form, points.fits(rows)).normal_equations(starts[rows, start]).cost

    tasks = [(start, first) for start in range(count) for first in range(0, fits, size)]
    with ThreadPoolExecutor(cores()) as pool:
        return np.concatenate(list(pool.map(costs_of_chunk, tasks))).reshape(count, fits)


def _sample_by_density(points: Points, count: int, seed: int) -> Points:
    """Return some of one fit's points, spread evenly over their densities."""
    shuffled = np.random.default_rng(seed).permutation(points.count)
    ordered = shuffled[np.argsort(points.density[shuffled], kind="stable")]
    picked = ordered[np.linspace(0, points.count - 1, count).round().astype(np.int64)]
    return points.pick(np.sort(picked))


def _sample_each_fit(points: Points, count: int, seed: int) -> Points:
    """Return some points of each of many fits, at random, none of the padding as long as there are others."""
    keys = np.random.default_rng(seed).random(points.error.shape)
    if points.weight is not None:
        keys = keys + (points.weight == 0)
    picked = np.sort(np.argpartition(keys, count, axis=1)[:, :count], axis=1)
    columns = (points.error, points.unpruned, points.density, points.depth, points.width, points.weight)
    shape = points.error.shape
    picks = (
        None if values is None else np.take_along_axis(np.broadcast_to(values, shape), picked, axis=1)
        for values in columns
    )
    return Points(*picks)  # type: ignore[arg-type]
