"""A table: typed columns of equal length, one row per trained network.

Plain numpy arrays under names, frozen. Whatever builds a `Table` goes through `columns.conform`, so a table that
exists is valid. It reads no files (see `read`) and knows nothing of laws.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prunescope.errors import Fault, InputError, MissingPackageError, clipped, listed, nearest, printable
from prunescope.files import replacing
from prunescope.markup import table_html
from prunescope.table.arrays import StoredOutcomes
from prunescope.table.coded import Columns, ColumnValues
from prunescope.table.duckdb_engine import ParquetWriter, answer, matching, mentioned
from prunescope.table.findings import Array
from prunescope.table.schema import BY_NAME, ERROR, Outcome, canonical

if TYPE_CHECKING:
    import pandas

    from prunescope.study.catalogue import DatasetFacts


# Rows that are made into plain values at once.
_AT_ONCE = 50_000


SUFFIXES = (".csv", ".parquet", ".json")
_CHUNK = 50_000  # rows held as text
_MANY = 1_000  # numbers that are mostly different are not looked for twice
_SPECIAL = re.compile(r'[,"\r\n]')


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of typed columns.

    Attributes
    ----------
    columns
        Arrays of equal length by name: float64 (NaN where missing), int64, bool, or object arrays of text (None where
        missing). They cannot be written to.
    source
        What the rows were read from, for messages.
    notes
        What was decided while reading that the user may want to know.
    unpruned_rows
        How many rows each row's `unpruned_error` is a mean of, 0 where it was given; None where there is no such
        column. Conditions may leave those rows out of the table, but not what came of them.
    datasets
        Sizes of users' own datasets by their names in rows, as a store knows them.
    outcome
        What `test_error` and `unpruned_error` hold: errors, or what `read_table` was asked to take for them.
    stored_outcomes
        The outcomes on test examples of a store's rungs; None of other tables.
    """

    columns: Mapping[str, Array]
    source: str = "table"
    notes: tuple[str, ...] = ()
    unpruned_rows: Array | None = None
    datasets: Mapping[str, DatasetFacts] = field(default_factory=dict)
    outcome: Outcome = ERROR
    stored_outcomes: StoredOutcomes | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", Columns.of(self.columns))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns in their order."""
        return tuple(self.columns)

    def __len__(self) -> int:
        return Columns.of(self.columns).rows

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and canonical(name) in self.columns

    def __reduce__(self) -> tuple[type[Table], tuple[Any, ...]]:
        columns, datasets = dict(self.columns), dict(self.datasets)
        return Table, (
            columns,
            self.source,
            self.notes,
            self.unpruned_rows,
            datasets,
            self.outcome,
            self.stored_outcomes,
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def keys(self) -> Iterable[str]:
        """Return the names of the columns, so that ``dict(table)`` works."""
        return self.columns.keys()

    def __getitem__(self, name: str) -> Array:
        """Return a column; ``error`` is ``test_error``, and capital letters do not matter."""
        if not isinstance(name, str):
            raise TypeError(
                "a table is asked for one column by name; select([...]) gives several, take(...) gives rows"
            )
        return self.columns[self.known(name)]

    def known(self, name: str) -> str:
        """Return a column's name as the table spells it."""
        if name in self.columns:
            return name
        for spelling in (canonical(name), *(column for column in self.columns if column.lower() == name.lower())):
            if spelling in self.columns:
                return spelling
        hint = nearest(name, [*self.columns, "error"]) or f"There are {listed(self.columns, 40)}."
        raise InputError(self.source, [Fault(f"column {clipped(name)}", "must be there", hint=hint)])

    def __eq__(self, other: object) -> bool:
        """Whether the same columns hold the same values; sources and notes do not count."""
        if not isinstance(other, Table):
            return NotImplemented
        return self.names == other.names and all(_same(self[name], other[name]) for name in self.names)

    __hash__ = None  # type: ignore[assignment]

    def take(self, rows: Array) -> Table:
        """Return the rows picked by a boolean mask or by positions."""
        behind = None if self.unpruned_rows is None else self.unpruned_rows[rows]
        return replace(self, columns=Columns.of(self.columns).take(np.asarray(rows)), unpruned_rows=behind)

    def select(self, names: Sequence[str]) -> Table:
        """Return some columns, in the order asked."""
        return replace(self, columns=Columns.of(self.columns).pick([self.known(name) for name in names]))

    def where(self, condition: str | Array) -> Table:
        """Return the rows that a mask picks, or a condition in SQL such as ``"depth = 20 and density < 0.5"``."""
        if not isinstance(condition, str):
            return self.take(np.asarray(condition))
        return self.take(matching(self.columns, condition, self.source))

    def query(self, sql: str) -> Table:
        """Answer a query over the table ``rungs``: ``"select depth, avg(error) from rungs group by depth"``.

        What comes back has the columns that the query names; it is a table to show and write, not one of rungs.
        """
        used = {name: self.columns[name] for name in mentioned(self.columns, sql)}
        return Table(answer(used, sql, self.source, self.names), self.source)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Iterate over rows as mappings to plain Python values; None where a value is missing."""
        columns = Columns.of(self.columns)
        for first in range(0, len(self), _AT_ONCE):
            chunk = columns.take(np.arange(first, min(first + _AT_ONCE, len(self))))
            for values in zip(*(_plain(values) for values in chunk.values()), strict=True):
                yield dict(zip(self.names, values, strict=True))

    def to_pandas(self) -> pandas.DataFrame:
        """Return a pandas DataFrame; needs pandas."""
        try:
            import pandas
        except ImportError:
            raise MissingPackageError("to_pandas needs pandas: pip install pandas") from None
        return pandas.DataFrame({name: values.copy() for name, values in self.columns.items()})

    def write(self, path: object) -> None:
        """Write the rows to a file, whole or not at all: ``.csv``, ``.parquet`` or ``.json``."""
        write_table(self, path)

    def __str__(self) -> str:
        rest = [f"... and {len(self) - 20:,} more"] if len(self) > 20 else []
        return "\n".join([*aligned(self.take(np.arange(min(20, len(self))))), *rest])

    def __repr__(self) -> str:
        return f"<Table of {len(self):,} rows from {self.source}: {listed(self.names, 12)}>"

    def _repr_html_(self) -> str:
        """Show the first rows in a notebook, whatever the file says escaped."""
        first = self.take(np.arange(min(10, len(self)))).rows()
        rows = ([shown(value) for value in row.values()] for row in first)
        return table_html(self.names, rows, f"{len(self):,} rows from {self.source}")


def outcome_of(source: object) -> Outcome:
    """Return what a table's errors are; of anything else that is read as one, errors."""
    return source.outcome if isinstance(source, Table) else ERROR


def aligned(table: Table) -> list[str]:
    """Write a table as lines of text under its names, numbers to the right, no cell wider than 32 letters."""
    lines = [list(table.names), *([shown(value) for value in row.values()] for row in table.rows())]
    cut = [[printable(cell if len(cell) <= 32 else f"{cell[:31]}…") for cell in line] for line in lines]
    return _aligned_lines(cut, [values.dtype.kind in "fi" for values in table.columns.values()])


def _aligned_lines(lines: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """Write lines of cells as lines of text; ``right`` says which columns are flush right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    ]


def shown(value: object) -> str:
    """Write a value for a person: short numbers, nothing where missing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def by_schema(names: Sequence[str]) -> list[str]:
    """Order names as the schema does, with a file's own columns after them in their order."""
    return [*(name for name in BY_NAME if name in names), *(name for name in names if name not in BY_NAME)]


def _plain(values: Array) -> list[Any]:
    if values.dtype.kind == "f":
        return [None if value != value else value for value in values.tolist()]
    return list(values.tolist())


def _same(ours: Array, theirs: Array) -> bool:
    if ours.dtype.kind != theirs.dtype.kind or ours.shape != theirs.shape:
        return False
    return bool(np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f"))


def csv_text(table: Table) -> str:
    """Return a table as CSV: numbers in their shortest exact form, nothing where a value is missing."""
    return "".join(csv_parts(table))


def csv_parts(table: Table) -> Iterator[str]:
    """Yield the same in parts, so that a large table need not be in memory as text."""
    yield ",".join(map(_quoted, table.names)) + "\n"
    columns = Columns.of(table.columns)
    words = {name: _quoted_words(columns.column(name)) for name in columns}
    for first in range(0, columns.rows, _CHUNK):
        part = slice(first, first + _CHUNK)
        written = [_written(columns.column(name), words[name], part) for name in columns]
        if len(written) == 1:
            written = [[value or '""' for value in written[0]]]  # an empty line would be no row
        yield "\n".join(map(",".join, zip(*written, strict=True))) + "\n"


def _quoted_words(column: ColumnValues) -> Array | None:
    """Return the different texts of a column of text as CSV has them; None for other columns."""
    if column.encoded is None:
        return None
    words = np.empty(len(column.encoded.words), object)
    words[:] = ["" if word is None else _quoted(word) for word in column.encoded.words.tolist()]
    return words


def _written(column: ColumnValues, words: Array | None, part: slice) -> list[str]:
    """Write some values, each different number once: bits, as 0.0 and -0.0 are written differently."""
    if words is not None and column.encoded is not None:
        return list(words[column.encoded.codes[part]].tolist())
    values = column.array[part]
    if values.dtype.kind == "f":
        if len(values) > _MANY and len(np.unique(values[:_MANY])) > _MANY / 2:
            return ["" if value != value else repr(value) for value in values.tolist()]
        bits, place = np.unique(values.view(np.int64), return_inverse=True)
        texts = np.array(["" if value != value else repr(value) for value in bits.view(np.float64).tolist()], object)
        return list(texts[place.reshape(-1)].tolist())
    if values.dtype.kind == "b":
        return ["true" if value else "false" for value in values.tolist()]
    if values.dtype.kind == "i":
        return list(map(str, values.tolist()))
    return ["" if value is None else _quoted(str(value)) for value in values.tolist()]


def _quoted(text: str) -> str:
    """Quote a text as CSV asks; the csv module of Python 3.11 leaves a lone carriage return bare."""
    return '"' + text.replace('"', '""') + '"' if _SPECIAL.search(text) else text


def json_text(table: Table) -> str:
    """Return a table as a JSON array of objects; null where a value is missing or infinite."""
    return "".join(json_parts(table))


def json_parts(table: Table) -> Iterator[str]:
    """Yield the same in parts, so that a large table need not be in memory as text."""
    if not len(table):
        yield "[]"
        return
    before = "["
    for row in table.rows():
        finite = {
            name: None if isinstance(value, float) and math.isinf(value) else value for name, value in row.items()
        }
        text = json.dumps([finite], ensure_ascii=False, allow_nan=False, indent=1)
        yield before + text[1:-2]
        before = ","
    yield "\n]"


def write_table(table: Table, path: object) -> None:
    """Write a table to ``path``; its ending says the format. What stood there before is replaced at the end."""
    target = Path(str(path))
    suffix = target.suffix.lower()
    if suffix not in SUFFIXES:
        ending = repr(suffix) if suffix else "no ending"
        raise InputError(str(target), [Fault("the file", f"must end in {', '.join(SUFFIXES)}", ending)])
    if not table.names:
        raise InputError(str(target), [Fault("the table", "must have a column")])
    with replacing(target) as draft:
        if suffix == ".parquet":
            ParquetWriter().write(table.columns, draft)
        else:
            with draft.open("w", encoding="utf-8", newline="") as stream:
                stream.writelines(csv_parts(table) if suffix == ".csv" else (*json_parts(table), "\n"))
