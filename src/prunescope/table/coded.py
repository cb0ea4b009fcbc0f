"""Columns as a table keeps them: each different text once, and what rows have in common numbered once.

A million rows repeat some hundred texts. Rows hold the place of their text among the different ones; arrays of text are
made when somebody asks for them. Numbers of groups are remembered, as one command asks for the same ones several times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.table.findings import Array
from prunescope.table.schema import CONFIGURATION

Codes = NDArray[np.int64]

# Texts that are many, and how many of them are looked at.
MANY, SAMPLE = 100_000, 1_000


@dataclass(frozen=True, eq=False)
class Texts:
    """A column of text: the different texts, and of each row which one it has.

    Attributes
    ----------
    words
        Different texts, None where one is missing; some may have no row.
    codes
        Places among them.
    """

    words: Array
    codes: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.codes)

    @classmethod
    def of(cls, plain: Sequence[str | None]) -> Texts:
        """Return texts, numbered by their first row."""
        numbers = {text: number for number, text in enumerate(dict.fromkeys(plain))}
        words = np.empty(len(numbers), object)
        words[:] = list(numbers)
        return cls(words, np.fromiter(map(numbers.__getitem__, plain), np.int32, len(plain)))

    def take(self, rows: Array) -> Texts:
        """Return the texts of some rows."""
        codes: Array = self.codes[rows]
        if len(self.words) <= 2 * len(codes) + 64:
            return Texts(self.words, codes)
        present, codes = np.unique(codes, return_inverse=True)
        return Texts(self.words[present], codes.reshape(-1).astype(np.int32))

    def array(self) -> Array:
        """Return the texts row by row."""
        return np.asarray(self.words[self.codes])


def take(values: Array | Texts, rows: Array) -> Array | Texts:
    """Return some rows of a column."""
    return values.take(rows) if isinstance(values, Texts) else values[rows]


def joined(parts: Sequence[Array | Texts]) -> Array | Texts:
    """Return parts of a column as one."""
    if len(parts) == 1:
        return parts[0]
    arrays = [column for column in parts if not isinstance(column, Texts)]
    if len(arrays) == len(parts):
        return np.concatenate(arrays)
    if arrays and mostly_different(arrays[0].tolist()):
        return np.concatenate([plain(column) for column in parts])
    texts = [column if isinstance(column, Texts) else Texts.of(column.tolist()) for column in parts]
    numbers: dict[str | None, int] = {}
    codes = []
    for column in texts:
        words = column.words.tolist()
        place = np.fromiter((numbers.setdefault(word, len(numbers)) for word in words), np.int32, len(words))
        codes.append(place[column.codes])
    words = np.empty(len(numbers), object)
    words[:] = list(numbers)
    return Texts(words, np.concatenate(codes))


def rows_of(values: Array | Texts, test: Callable[[Any], bool]) -> NDArray[np.bool_]:
    """Return the rows whose text passes a test."""
    if isinstance(values, Texts):
        return np.asarray(np.array([test(word) for word in values.words.tolist()], bool)[values.codes])
    return np.array([test(text) for text in values.tolist()], bool)


def mostly_different(plain: Sequence[str | None]) -> bool:
    """Whether texts are many and most of a thousand of them differ, as times do: numbering them would save nothing."""
    sample = plain[:: max(1, len(plain) // SAMPLE)]
    return len(plain) > MANY and len(set(sample)) > len(sample) / 2


def plain(values: Array | Texts) -> Array:
    """Return a column as an array."""
    return values.array() if isinstance(values, Texts) else values


class ColumnValues:
    """One column, as an array or as texts; either is made of the other when it is asked for."""

    def __init__(self, values: Array | Texts, loose: NDArray[np.int32] | None = None) -> None:
        self._array: Array | None = None
        self._texts: Texts | None = None
        if isinstance(values, Texts):
            self._texts = values
        else:
            self._array = values.view()
            self._array.flags.writeable = False
        self._loose = loose  # equal where the values are, in their order; not without gaps
        self._codes: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self._array) if self._array is not None else len(self.texts)

    @property
    def is_text(self) -> bool:
        """Whether the column holds text."""
        return self._texts is not None or (self._array is not None and self._array.dtype.kind == "O")

    @property
    def array(self) -> Array:
        """The values, which cannot be written to."""
        if self._array is None:
            self._array = self.texts.array()
            self._array.flags.writeable = False
        return self._array

    @property
    def texts(self) -> Texts:
        """The values of a column of text."""
        if self._texts is not None:
            return self._texts
        texts = Texts.of(self.array.tolist())
        if set(map(type, texts.words.tolist())) <= {str, type(None)}:
            self._texts = texts  # else a table to show, where 1 and 1.0 are two values
        return texts

    @property
    def encoded(self) -> Texts | None:
        """The different texts and their rows; None where the column has no text, or was not encoded so far."""
        return self._texts

    @property
    def codes(self) -> NDArray[np.int32]:
        """A number for each row, without gaps: texts by their first row, other values by their order."""
        if self._codes is None:
            if self.is_text:
                self._codes = _by_first_row(self.texts.codes, len(self.texts.words))
            elif self._loose is not None:
                self._codes = compact(self._loose).astype(np.int32)
            else:
                self._codes = compact(self.array).astype(np.int32)
            self._loose = None
        return self._codes

    @property
    def is_constant(self) -> bool:
        """Whether every row has the same value, or none."""
        if self.is_text and self._texts is not None:
            return bool((self._texts.codes == self._texts.codes[0]).all())
        first = self.array[0]
        return bool(np.isnan(self.array).all() if first != first else (self.array == first).all())

    @property
    def ranks(self) -> Array:
        """What rows are sorted by: numbers as they are, texts by their place in the alphabet, missing ones last."""
        if not self.is_text:
            return self.array
        words = self.texts.words.tolist()
        order = sorted(range(len(words)), key=lambda place: (words[place] is None, words[place]))
        rank = np.empty(len(words), np.int32)
        rank[order] = np.arange(len(words))
        return np.asarray(rank[self.texts.codes])

    def take(self, rows: Array) -> ColumnValues:
        """Return some rows."""
        if self._texts is not None:
            return ColumnValues(self._texts.take(rows))
        codes = self._loose if self._codes is None else self._codes
        return ColumnValues(self.array[rows], None if codes is None else codes[rows])


class Columns(Mapping[str, Array]):
    """Columns under their names, as arrays; what was found out about groups of their rows is remembered.

    Parameters
    ----------
    columns
        Arrays, texts, or columns of another mapping over the same rows.
    like
        Another mapping over the same rows, whose groups are remembered here as well.
    """

    def __init__(self, columns: Mapping[str, Array | Texts | ColumnValues], like: Columns | None = None) -> None:
        self._columns = {
            name: values if isinstance(values, ColumnValues) else ColumnValues(values)
            for name, values in columns.items()
        }
        self._groups: dict[tuple[ColumnValues, ...], Codes] = {} if like is None else like._groups

    @classmethod
    def of(cls, columns: Mapping[str, Array]) -> Columns:
        """Return any mapping to arrays as one that remembers."""
        return columns if isinstance(columns, Columns) else cls(columns)

    def __getitem__(self, name: str) -> Array:
        return self._columns[name].array

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __repr__(self) -> str:
        return repr(dict(self))

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(next(iter(self._columns.values()))) if self._columns else 0

    def column(self, name: str) -> ColumnValues:
        """Return a column with all that is known of it."""
        return self._columns[name]

    def pick(self, names: Sequence[str]) -> Columns:
        """Return some columns in the order asked."""
        return Columns({name: self._columns[name] for name in names}, self)

    def changed(self, **columns: Array | Texts) -> Columns:
        """Return the columns with some replaced or added."""
        return Columns({**self._columns, **columns}, self)

    def take(self, rows: Array) -> Columns:
        """Return some rows of all columns."""
        places = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return Columns({name: column.take(places) for name, column in self._columns.items()})

    def groups(self, names: Sequence[str], within: Codes | None = None) -> Codes:
        """Return one integer per row: equal exactly where all the named columns are equal, and `within`."""
        key = tuple(self._columns[name] for name in names)
        if within is None and key in self._groups:
            return self._groups[key]
        codes: Codes = np.zeros(self.rows, np.int64) if within is None else compact(within)
        for column in key:
            more = column.codes
            many = int(more.max(initial=0)) + 1
            if many > 1:
                codes = compact(codes * many + more)
        if within is None:
            codes.flags.writeable = False
            self._groups[key] = codes
        return codes


def compact(values: Array) -> Codes:
    """Return the place of each value among the different ones in their order."""
    if values.dtype.kind in "iu" and len(values) and int(values.min()) >= 0:
        top = int(values.max()) + 1
        if top <= 4 * len(values) + 1024:  # looking up is faster than sorting
            present = np.zeros(top, bool)
            present[values] = True
            return np.asarray((np.cumsum(present) - 1)[values])
    return np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _by_first_row(codes: NDArray[np.int32], many: int) -> NDArray[np.int32]:
    """Return codes numbered by their first row, without gaps."""
    first = np.full(many, len(codes))
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # of equal places the last one written stays: the first row
    present = np.flatnonzero(first < len(codes))
    number = np.zeros(many, np.int32)
    number[present[np.argsort(first[present])]] = np.arange(len(present))
    return np.asarray(number[codes])


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
