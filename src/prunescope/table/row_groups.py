"""Rows that belong together: groups, repetitions, order, a group's unpruned error, a ladder's optimal rung."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from prunescope.table.coded import Columns, rows_of
from prunescope.table.findings import Array
from prunescope.table.schema import CONFIGURATION


def group_codes(columns: Mapping[str, Array], names: Sequence[str]) -> NDArray[np.int64]:
    """Return one integer per row: equal exactly where all the named columns are equal."""
    return Columns.of(columns).groups(names)


def sorted_rows(columns: Mapping[str, Array], names: Sequence[str]) -> NDArray[np.int64]:
    """Return the order of rows by the named columns, the first one first; missing text comes last."""
    typed = Columns.of(columns)
    keys = [typed.column(name).ranks for name in names]
    varied = [key for key in keys if (key != key[0]).any()] if typed.rows else []
    return np.lexsort(varied[::-1]) if varied else np.arange(typed.rows)


def having(columns: Mapping[str, Array], name: str, texts: Sequence[str]) -> NDArray[np.bool_]:
    """Return which rows have one of some texts in a column."""
    column = Columns.of(columns).column(name)
    if not column.is_text:
        return np.isin(column.array.astype(str), list(texts))
    return rows_of(column.texts, lambda text: text in texts)


def occurrence(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many earlier rows have the same code: 0 for the first, 1 for the second, ..."""
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    counts = np.diff(np.r_[starts, len(codes)])
    first_rows = np.empty(len(codes), np.int64)
    first_rows[order] = np.arange(len(codes)) - np.repeat(starts, counts)
    return first_rows


def unpruned_error(
    columns: Mapping[str, Array], apart: Sequence[str] = ()
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return each row's unpruned error: as given, else the mean test error at density 1 of its configuration.

    And beside it how many rows that is a mean of, 0 where it was given.

    Whatever the treatment, as long as the network is an ordinary dense one: further rungs of a ladder that removes
    nothing were trained longer, and leave-out ladders on other examples, so neither counts.

    Parameters
    ----------
    apart
        Columns of the table's own each value of which has an unpruned error of its own.
    """
    measured = columns.get("unpruned_error", np.full(len(columns["test_error"]), np.nan))
    dense = unpruned(columns) & ~np.isnan(columns["test_error"])
    codes = group_codes(columns, [*(name for name in CONFIGURATION if name in columns), *apart])
    size = int(codes.max()) + 1
    counts = np.bincount(codes[dense], minlength=size)
    sums = np.bincount(codes[dense], columns["test_error"][dense], minlength=size)
    means = np.divide(sums, counts, out=np.full(size, np.nan), where=counts > 0)
    return np.where(np.isnan(measured), means[codes], measured), np.where(np.isnan(measured), counts[codes], 0)


def configuration_codes(columns: Mapping[str, Array]) -> NDArray[np.int64]:
    """Return one integer per row: equal exactly where the configuration is."""
    return group_codes(columns, [name for name in CONFIGURATION if name in columns])


def unpruned(columns: Mapping[str, Array]) -> NDArray[np.bool_]:
    """Return which rows are ordinary unpruned networks."""
    dense: NDArray[np.bool_] = columns["density"] == 1
    if "treatment" in columns:
        dense = dense & ~having(columns, "treatment", ("leave-out",))
        if "rung" in columns:
            dense = dense & (~having(columns, "treatment", ("extended",)) | (columns["rung"] == 0))
    return dense


def optimal_rung(validation_error: Mapping[int, float]) -> int:
    """Return the optimal among rungs, from the validation error of each; there must be one above 0."""
    return min((rung for rung in sorted(validation_error) if rung > 0), key=validation_error.__getitem__)
