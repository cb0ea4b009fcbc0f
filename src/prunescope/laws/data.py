"""What a law is fitted to: the measurements of one group as plain arrays. Nothing here knows of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.laws.shared_examples import Resampled, SharedExamples

Numbers = NDArray[np.float64]
Integers = NDArray[np.int64]
Rows = slice | NDArray[np.int64] | NDArray[np.bool_]

# A law is tried on at most so many points: some hundred determine its parameters.
MOST_TRIED = 20_000


# Members below which there is no telling what they share from the law: cells count as independent.
FEW_MEMBERS = 4
FAR_ABOVE = 100.0
"""How far above the largest measured figure a plateau may lie that nothing bounds."""


@dataclass(frozen=True)
class Points:
    """Measured networks, by their logarithms; each array is ``[n]``, or ``[fits, n]`` where fits differ in it.

    Attributes
    ----------
    error, unpruned
        The network's error, and the error of its unpruned network.
    density, depth, width
        The network's size. For the dense law ``depth`` holds the number of weights and ``width`` the examples.
    weight
        How often each point counts; 0 for padding. None counts every point once.
    """

    error: Numbers
    unpruned: Numbers
    density: Numbers
    depth: Numbers
    width: Numbers
    weight: Numbers | None = None

    @property
    def count(self) -> int:
        """Points of a fit, padding included."""
        return int(self.error.shape[-1])

    def weights_of_fits(self, fits: int) -> Numbers:
        """Return the sum of the weights of each fit."""
        total = self.count if self.weight is None else self.weight.sum(axis=-1)
        return np.broadcast_to(np.asarray(total, np.float64), (fits,))

    def fits(self, rows: Rows) -> Points:
        """Return the points of some fits; what all fits share stays shared."""
        return replace(self, **{name: values[rows] for name, values in self._arrays() if values.ndim == 2})

    def pick(self, columns: Rows) -> Points:
        """Return some of the points of every fit."""
        return replace(self, **{name: values[..., columns] for name, values in self._arrays()})

    def _arrays(self) -> list[tuple[str, Numbers]]:
        columns = ((item.name, getattr(self, item.name)) for item in fields(self))
        return [(name, values) for name, values in columns if values is not None]


@dataclass(frozen=True)
class GroupData:
    """The points of one group, and the rows that they are means of.

    A point is one density of one cell; with replicates kept, one row. A cell is one configuration under one treatment:
    its points share an unpruned error, and whole cells are what is resampled.

    Attributes
    ----------
    key
        The values of the grouping columns.
    error, unpruned, density, depth, width, examples
        One value per point; depth, width and examples are 1 where they are not known.
    size
        Weights of the unpruned network, as counted, or ``depth * width^2``, which is proportional to them.
    cell
        Which cell a point belongs to, ``0 .. cells - 1``.
    repeats
        Rows behind a point.
    dense_repeats
        Rows behind a point's unpruned error; 0 where it was given and not averaged here.
    validation
        The mean of each point's errors on held-out examples; infinity where some row behind it has none.
    row_error, row_point, row_replicate
        The single rows: error, the point that a row belongs to, replicate.
    chance
        Error of guessing; None where the number of classes is not known.
    is_error
        Whether errors are shares of examples, at most 1; otherwise they are any figures above 0.
    weight
        How often each point counts in a fit; None counts all alike.
    test_examples
        How many examples the errors are shares of, the same ones for all networks; None where that is not known.
    resampled
        What resamples of these make of the errors; None where outcomes of single examples were not kept.
    example_share
        What networks share of the binomial deviation, by how their replicates scatter; 1 is all of it.
    """

    key: Mapping[str, Any]
    error: Numbers
    unpruned: Numbers
    density: Numbers
    depth: Numbers
    width: Numbers
    examples: Numbers
    size: Numbers
    cell: Integers
    repeats: Integers
    dense_repeats: Integers
    validation: Numbers
    row_error: Numbers
    row_point: Integers
    row_replicate: Integers
    chance: float | None = None
    is_error: bool = True
    weight: Numbers | None = None
    test_examples: int | None = None
    resampled: Resampled | None = None
    example_share: float = 1.0

    def __len__(self) -> int:
        return len(self.error)

    @cached_property
    def shared_examples(self) -> SharedExamples:
        """How much the errors would deviate together on other test examples."""
        return SharedExamples.of(self.test_examples, self.resampled, np.log(self.error), self.example_share)

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return int(self.cell.max()) + 1 if len(self.cell) else 0

    @cached_property
    def points(self) -> Points:
        """The points by their logarithms, as the forms take them."""
        columns = (self.error, self.unpruned, self.density, self.depth, self.width)
        error, unpruned, density, depth, width = (np.log(values) for values in columns)
        return Points(error, unpruned, density, depth, width, self.weight)

    @cached_property
    def cluster_of_cell(self) -> Integers:
        """The member (depth and width) of each cell: members may share a shift. The cell itself below `FEW_MEMBERS`."""
        if self.cells < 2:
            return np.zeros(self.cells, np.int64)
        first = np.unique(self.cell, return_index=True)[1]
        if (self.size != self.size[first][self.cell]).any():
            # Sizes count the weights that are left: a configuration has no depth and width to share.
            return np.arange(self.cells)
        member = np.stack([self.depth[first], self.width[first]])
        number = np.unique(member, axis=1, return_inverse=True)[1].reshape(-1)
        if int(number.max()) + 1 in (self.cells, *range(FEW_MEMBERS)):
            return np.arange(self.cells)
        return np.asarray(number, np.int64)

    @property
    def members(self) -> int:
        """How many pairs of depth and width there are."""
        return len(np.unique(np.stack([self.depth, self.width]), axis=1).T)

    @property
    def clusters(self) -> int:
        """How many clusters of cells are independent of each other."""
        return int(self.cluster_of_cell.max(initial=-1)) + 1

    @property
    def ceiling(self) -> float:
        """The largest error that a plateau may have: that of guessing, else 1, else far above all that was measured."""
        if self.chance is not None:
            return self.chance
        return 1.0 if self.is_error else FAR_ABOVE * float(max(self.error.max(), self.unpruned.max()))

    @cached_property
    def points_of(self) -> tuple[Integers, ...]:
        """The points of each cell, in their order."""
        order = np.argsort(self.cell, kind="stable")
        return tuple(np.split(order, np.cumsum(np.bincount(self.cell))[:-1])) if len(order) else ()

    def by_cell(self) -> list[GroupData]:
        """Return each cell by itself, as `pick` would; thousands of them in one go."""
        cell_of_row = self.cell[self.row_point]
        ends = np.cumsum(np.bincount(cell_of_row, minlength=self.cells))[:-1]
        rows = np.split(np.argsort(cell_of_row, kind="stable"), ends)
        index = np.empty(len(self), np.int64)
        for points in self.points_of:
            index[points] = np.arange(len(points))
        return [
            self._take(points, cell_rows, index, np.zeros(len(points), np.int64))
            for points, cell_rows in zip(self.points_of, rows, strict=True)
        ]

    def thinned(self, most: int = MOST_TRIED, seed: int = 0) -> GroupData:
        """Return whole cells, drawn by chance, with about as many points in all; the group itself if it has no more."""
        if len(self) <= most:
            return self
        cells = np.random.default_rng(seed).permutation(self.cells)
        drawn = cells[: max(1, int(np.searchsorted(np.cumsum(np.bincount(self.cell)[cells]), most, "right")))]
        return self.pick(np.isin(self.cell, drawn))

    def pick(self, points: NDArray[np.bool_] | Integers) -> GroupData:
        """Return some of the points with their rows; cells are numbered anew."""
        chosen = np.arange(len(self))[points]
        index = np.full(len(self), -1)
        index[chosen] = np.arange(len(chosen))
        cell = np.unique(self.cell[chosen], return_inverse=True)[1].reshape(-1)
        return self._take(chosen, index[self.row_point] >= 0, index, cell)

    def _take(self, points: Integers, rows: Rows, index: Integers, cell: Integers) -> GroupData:
        """Return some points and rows; `index` says where each point goes, `cell` to which cell it belongs there."""
        columns = {name: getattr(self, name)[points] for name in BY_POINT} | {"cell": cell}
        columns |= {"row_error": self.row_error[rows], "row_replicate": self.row_replicate[rows]}
        if self.weight is not None:
            columns["weight"] = self.weight[points]
        if self.resampled is not None:
            columns["resampled"] = self.resampled.pick(points)
        return replace(self, **columns, row_point=index[self.row_point[rows]])

    @cached_property
    def extremes(self) -> tuple[Numbers, Numbers]:
        """The smallest and the largest error among the replicates of each point."""
        low, high = np.full(len(self), np.inf), np.full(len(self), -np.inf)
        np.minimum.at(low, self.row_point, self.row_error)
        np.maximum.at(high, self.row_point, self.row_error)
        return low, high

    @cached_property
    def seed_noise(self) -> float | None:
        """Relative standard deviation between replicates, pooled over all points that have two or more."""
        return pool_replicates([self])[0][0]


# The columns that have one value per point.
BY_POINT = tuple(
    item.name
    for item in fields(GroupData)
    if item.name not in ("key", "row_error", "row_point", "row_replicate", "chance", "is_error", "weight")
    and item.name not in ("test_examples", "resampled", "example_share")
)


def describe_thinning(tried: int, points: int) -> str:
    """Return a sentence on how many of the points were tried; none where all were."""
    return f"Tried on whole cells picked by chance: {tried:,} of {points:,} points." if tried < points else ""


@dataclass(frozen=True)
class PaddedGroups:
    """Several groups side by side: points ``[groups, n]`` with weight 0 where a group has fewer.

    Attributes
    ----------
    cell
        ``[groups, n]``, numbered over all groups.
    group_of_cell
        The group that each cell belongs to.
    cluster, group_of_cluster
        The same for clusters of cells (`GroupData.cluster_of_cell`).
    count, informative, cells, clusters
        Of each group: its points; those that do not repeat their own unpruned error; its cells; their clusters.
    index
        Where each point stands among all points of all groups.
    """

    points: Points
    cell: Integers
    group_of_cell: Integers
    cluster: Integers
    group_of_cluster: Integers
    present: NDArray[np.bool_]
    count: Integers
    informative: Integers
    cells: Integers
    clusters: Integers
    index: Integers

    def column(self, groups: Sequence[GroupData], name: str) -> NDArray[Any]:
        """Return a column of the groups, laid out like the points."""
        return np.asarray(np.concatenate([getattr(group, name) for group in groups])[self.index])


def pad(groups: Sequence[GroupData]) -> PaddedGroups:
    """Lay groups side by side. Padding repeats a group's first point, so that it is harmless everywhere."""
    count = np.array([len(group) for group in groups], np.int64)
    cells = np.array([group.cells for group in groups], np.int64)
    first = np.r_[0, np.cumsum(cells)[:-1]]
    column = np.arange(count.max(initial=1))
    present = column < count[:, None]
    index: Integers = np.cumsum(np.r_[0, count[:-1]])[:, None] + np.where(present, column, 0)

    def side_by_side(name: str) -> Numbers:
        return np.concatenate([getattr(group, name) for group in groups])[index]

    error, unpruned, density, depth, width = (
        np.log(side_by_side(name)) for name in ("error", "unpruned", "density", "depth", "width")
    )
    cell = np.concatenate([group.cell + start for group, start in zip(groups, first, strict=True)])[index]
    informative = np.array([int(np.sum((group.density < 1) | (group.dense_repeats == 0))) for group in groups])
    weighted = any(group.weight is not None for group in groups)
    weight = None if bool(present.all()) and not weighted else present.astype(np.float64)
    if weight is not None and weighted:
        ones = [group.weight if group.weight is not None else np.ones(len(group)) for group in groups]
        weight *= np.concatenate(ones)[index]
    points = Points(error, unpruned, density, depth, width, weight)
    group_of_cell = np.repeat(np.arange(len(groups)), cells)
    cluster, clusters = cell, cells
    if cells.max(initial=1) > 1:
        clusters = np.array([group.clusters for group in groups], np.int64)
        starts = np.r_[0, np.cumsum(clusters)[:-1]]
        of_cell = [group.cluster_of_cell + start for group, start in zip(groups, starts, strict=True)]
        cluster = np.concatenate(of_cell)[cell]
    group_of_cluster = np.repeat(np.arange(len(groups)), clusters)
    return PaddedGroups(
        points,
        cell,
        group_of_cell,
        cluster,
        group_of_cluster,
        present,
        count,
        informative,
        cells,
        clusters,
        index,
    )


@dataclass(frozen=True)
class StackedRows:
    """The single rows of several groups one after another, each with its group, point and cell; points count on."""

    group: Integers
    point: Integers
    cell: Integers
    replicate: Integers
    error: Numbers
    first_point: Integers
    repeats: Integers

    @property
    def local_point(self) -> Integers:
        """The point of each row within its group."""
        return np.asarray(self.point - self.first_point[self.group])

    def mean(self, values: Numbers) -> Numbers:
        """Return the mean of values over the rows of each row's point."""
        return np.asarray(
            (np.bincount(self.point, values, len(self.repeats)) / np.maximum(self.repeats, 1))[self.point]
        )


def stack_rows(groups: Sequence[GroupData]) -> StackedRows:
    """Return the rows of several groups; cells are numbered within their groups."""
    counts = np.array([len(group) for group in groups])
    first_point = np.cumsum(np.r_[0, counts[:-1]])
    of_row = np.repeat(np.arange(len(groups)), [len(group.row_error) for group in groups])
    point = np.concatenate([group.row_point for group in groups]) + first_point[of_row]
    return StackedRows(
        group=of_row,
        point=point,
        cell=np.concatenate([group.cell for group in groups])[point],
        replicate=np.concatenate([group.row_replicate for group in groups]),
        error=np.concatenate([group.row_error for group in groups]),
        first_point=first_point,
        repeats=np.bincount(point, minlength=int(counts.sum())),
    )


def pool_replicates(groups: Sequence[GroupData]) -> tuple[list[float | None], list[int]]:
    """Return each group's noise between replicates, pooled over points that have two or more, and its ladders."""
    rows = stack_rows(groups)
    squares = np.bincount(rows.group, (rows.error / rows.mean(rows.error) - 1) ** 2, len(groups))
    freedom = np.bincount(rows.group, minlength=len(groups)) - np.array([len(group) for group in groups])
    noise = np.sqrt(squares / np.maximum(freedom, 1)).tolist()
    order = np.lexsort((rows.replicate, rows.cell, rows.group))
    changes = [np.diff(values[order], prepend=-1) != 0 for values in (rows.group, rows.cell, rows.replicate)]
    ladders = np.bincount(rows.group[order], changes[0] | changes[1] | changes[2], len(groups)).astype(int).tolist()
    return [sd if free > 0 else None for sd, free in zip(noise, freedom.tolist(), strict=True)], ladders
