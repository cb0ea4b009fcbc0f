"""Rows of a table as the laws see them: what tells cells apart, and on which test examples they were tested.

Cells are told apart by the schema's columns, and by those of a file's own that split ladders. What resamples of the
test examples make of a group's errors comes from the outcomes that a store keeps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.laws.data import Integers, Numbers, StackedRows
from prunescope.laws.replicates import replicate_shares
from prunescope.laws.shared_examples import PackedOutcomes, Resampled, agreement, log_change, resample
from prunescope.study.catalogue import DATASETS
from prunescope.table import Table
from prunescope.table.coded import Columns, configuration_codes, group_codes, unpruned
from prunescope.table.own_columns import distinguishing
from prunescope.table.schema import BY_NAME, CONFIGURATION, ColumnGroup

# What a joint law explains; everything else that tells configurations apart makes groups.
EXPLAINED = ("depth", "width", "examples")
TREATMENT = tuple(column.name for column in BY_NAME.values() if column.group is ColumnGroup.TREATMENT)


def identity_columns(table: Table) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the columns that tell cells apart, and which of them are a file's own.

    The schema's configuration and treatment columns always do. A column of the file's own does where it splits
    ladders from each other and not ladders into their rungs: where the groups it makes still hold most densities, or
    most levels of density where those that were reached differ a little from ladder to ladder.
    """
    identity = [name for name in table if name in CONFIGURATION or name in TREATMENT]
    candidates = [name for name in distinguishing(table.columns) if not _repeats_a_size(table, name)]
    pruned = table["density"] < 1
    extra: list[str] = []
    if candidates and pruned.any():
        columns = Columns.of(table.columns).pick([*identity, *candidates, "density"]).take(pruned)
        values, density = np.unique(columns["density"], return_inverse=True)
        density = density.reshape(-1)
        level = np.append(0, np.cumsum(values[1:] > (1 + NEAR) * values[:-1]))[density]
        counted = [(codes, max(3.0, _held(columns, identity, codes) / 2)) for codes in (density, level)]
        for name in candidates:
            names = [*identity, *extra, name]
            if _may_identify(columns[name]) and any(
                _held(columns, names, codes) >= enough for codes, enough in counted
            ):
                extra.append(name)
    return (*identity, *extra), tuple(extra)


def _repeats_a_size(table: Table, name: str) -> bool:
    """Whether a column is depth, width or examples over again, as one is that these were set from."""
    values = table[name]
    sizes = [table[size] for size in EXPLAINED if size in table] if values.dtype.kind in "iuf" else []
    return any(bool(np.all(values == size)) for size in sizes)


def _may_identify(values: NDArray[Any]) -> bool:
    """Whether a column may tell ladders apart at all: it varies, and not as measured numbers do."""
    distinct = len(np.unique(values)) if values.dtype.kind == "f" else len(set(values.tolist()))
    return distinct > 1 and (values.dtype.kind != "f" or distinct <= max(2, len(values) // 8))


# Densities that differ by a smaller share were meant to be one level.
NEAR = 0.03


def _held(columns: Mapping[str, NDArray[Any]], names: Sequence[str], density: NDArray[np.int64]) -> float:
    """Return how many densities the group of a row holds, in the median over rows."""
    codes = group_codes(columns, names)
    pairs = np.unique(codes * (int(density.max()) + 1) + density) // (int(density.max()) + 1)
    return float(np.median(np.bincount(pairs)[codes]))


# Errors in a table and in stored outcomes that differ by more are of different networks, or of another outcome.
SAME = 1e-9


def count_test_examples(table: Table) -> Numbers:
    """Return how many examples each row's error is a share of: as the table says, or as its dataset has."""
    tested = np.full(len(table), np.nan)
    if not table.outcome.is_error:
        return tested
    if "dataset" in table:
        texts = Columns.of(table.columns).column("dataset").texts
        facts = {**DATASETS, **table.datasets}
        known = [facts[name].test if name in facts else np.nan for name in texts.words.tolist()]
        tested = np.array(known, float)[texts.codes]
    if "test_examples" in table:
        given = np.asarray(table["test_examples"], np.float64)
        tested = np.where(np.isnan(given), tested, given)
    return tested


def example_shares(table: Table, order: Integers, rung: Integers, cell: Integers, tested: Numbers) -> Numbers:
    """Return for each row in order what networks tested on its examples share of what chance on these makes of errors.

    All networks of a dataset tell it together; 1 where the number of test examples is not known.

    Parameters
    ----------
    order
        The order of rows, cell by cell and from dense to sparse.
    rung, cell, tested
        Of each row in order: a number for its rung of its cell, its cell, and how many test examples there are.
    """
    shares = np.ones(len(order))
    known = ~np.isnan(tested)
    if not known.any():
        return shares
    names = [name for name in ("dataset",) if name in table]
    datasets = group_codes(table.columns, names)[order] if names else np.zeros(len(order), np.int64)
    number = np.unique(tested[known], return_inverse=True)[1].reshape(-1)
    both = datasets[known] * (int(number.max()) + 1) + number
    test_set = np.unique(both, return_inverse=True)[1].reshape(-1)
    point = np.cumsum(np.diff(rung[known], prepend=rung[known][0]) != 0)
    rows = StackedRows(
        group=test_set,
        point=point,
        cell=cell[known],
        replicate=table["replicate"][order][known],
        error=table["test_error"][order][known],
        first_point=np.zeros(int(test_set.max()) + 1, np.int64),
        repeats=np.bincount(point),
    )
    shares[known] = replicate_shares(rows, tested[known])[test_set]
    return shares


class ExampleOutcomes:
    """The stored outcomes on test examples of a table's rows.

    Parameters
    ----------
    whole
        The table with all its rows: those that unpruned errors are means of, too.
    """

    def __init__(self, whole: Table) -> None:
        self._whole = whole
        stored = whole.stored_outcomes
        there = stored is not None and whole.outcome.is_error and {"ladder", "rung"} <= set(whole) and stored.kept
        self._stored = stored if there else None

    @cached_property
    def _place(self) -> dict[tuple[str, int], int]:
        return {key: place for place, key in enumerate(_keys(self._whole))}

    @cached_property
    def _unpruned_of(self) -> dict[int, Integers]:
        """The unpruned rows of each configuration, as their errors were averaged."""
        dense = np.flatnonzero(unpruned(self._whole.columns))
        dense = dense[np.argsort(self._codes[dense], kind="stable")]
        codes, starts = np.unique(self._codes[dense], return_index=True)
        return dict(zip(codes.tolist(), np.split(dense, starts)[1:], strict=True))

    @cached_property
    def _codes(self) -> Integers:
        return configuration_codes(self._whole.columns)

    def resampled(self, table: Table, rows: Integers, point: Integers, rung: Integers) -> Resampled | None:
        """Return what resamples make of the points of a group; None where outcomes of some row were not kept.

        Parameters
        ----------
        table, rows
            A part of the whole, and the rows of the group in it, point by point.
        point, rung
            Of each row: its point, from 0 on; a number for its rung of its configuration, which rises from row to row.
        """
        if self._stored is None:
            return None
        group = table.take(rows)
        if "dataset" in group and len(set(group["dataset"].tolist())) > 1:
            return None
        places = np.array([self._place[key] for key in _keys(group)])
        first = np.unique(point, return_index=True)[1]
        behind = np.zeros(len(first), np.int64) if group.unpruned_rows is None else group.unpruned_rows[first]
        nothing = np.zeros(0, np.int64)
        dense = [
            self._unpruned_of.get(code, nothing) if count else nothing
            for code, count in zip(self._codes[places[first]].tolist(), behind.tolist(), strict=True)
        ]
        if [len(networks) for networks in dense] != behind.tolist():
            return None  # conditions left some of those rows out
        wanted = np.unique(np.concatenate([places, *dense]))
        stored = self._stored.of(_keys(self._whole.take(wanted)))
        if stored is None:
            return None
        outcomes = PackedOutcomes(*stored)
        error, others = resample(outcomes)
        if np.abs(error - self._whole["test_error"][wanted]).max() > SAME:
            return None
        numbers = np.searchsorted(wanted, places)
        replicates = np.split(numbers, np.flatnonzero(np.diff(rung)) + 1)
        by_rung = np.array([agreement(outcomes, networks) for networks in replicates])

        def changes(members: Sequence[Integers]) -> Numbers:
            """Return the changes of means over some networks; none where there are no networks."""
            change = np.zeros((len(members), others.shape[1]))
            for row, networks in enumerate(members):
                if len(networks):
                    change[row] = log_change(others[networks].mean(axis=0), error[networks].mean(), outcomes.examples)
            return change

        return Resampled(
            changes(np.split(numbers, first[1:])),
            changes([np.searchsorted(wanted, networks) for networks in dense]),
            by_rung[(rung - rung[0])[first]],
        )


def _keys(rows: Table) -> list[tuple[str, int]]:
    return list(zip(rows["ladder"].tolist(), rows["rung"].tolist(), strict=True))
