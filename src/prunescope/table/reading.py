"""Anybody's measurements as a `Table`: CSV, Parquet, a store, a DataFrame, or plain columns."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import duckdb
import numpy as np

from prunescope.errors import Fault, InputError, clipped, counted, listed, nearest
from prunescope.table.coded import Texts
from prunescope.table.columns import conform
from prunescope.table.csvfile import LARGE, read_csv, read_large_csv
from prunescope.table.duckdb_engine import connection, literal, only_row, plain_path, quoted, read_columns
from prunescope.table.findings import MOST_LETTERS, MOST_TEXT, Array, Findings
from prunescope.table.published import published_file, published_tables, refuse_unpublished
from prunescope.table.remarks import unfinished_runs
from prunescope.table.schema import BY_NAME, ERROR, NEEDED, Outcome, canonical
from prunescope.table.shaping import Shaping
from prunescope.table.table import Table

_T = TypeVar("_T")


class _How(NamedTuple):
    """What a reader has to know besides the source."""

    needed: Sequence[str]
    shaping: Shaping
    outcome: Outcome = ERROR
    gaps: bool = False


def read_table(
    source: Any,
    where: str | Sequence[str] = "",
    *,
    needed: Sequence[str] = NEEDED,
    set: Mapping[str, str] | None = None,
    wide: Mapping[str, str] | None = None,
    decimal: str = ".",
    outcome: str | Outcome = ERROR,
    guess: float | None = None,
) -> Table:
    """Read measurements, check every row, and fill in the unpruned error.

    Parameters
    ----------
    source
        Path of a CSV file, a Parquet file or a store, ``-`` for standard input; a `Store`; a `Table`; a pandas
        or polars DataFrame; an Arrow table; or a mapping of column names to values.
    where
        Condition in SQL that rows must fulfil, such as ``"depth = 20"``, or several. Unpruned errors are taken before
        it applies. Errors may be missing in rows that it leaves out (``"error is not null"``).
    needed
        Columns that must be there; networks whose errors are to be predicted have none.
    set
        Columns to make of the source's, as expressions in SQL: ``{"error": "1 - accuracy / 100"}``. The source's own
        name with spaces stands in double quotes.
    wide
        Columns whose values the source has in several columns: ``{"acc": "acc_{density}"}``.
    decimal
        ``","`` for a CSV file with decimal commas, and semicolons between its columns.

    outcome
        The column that laws and choices are about, instead of the test error: any figure above 0 of which less is
        better, such as ``test_loss``. The table has it as `test_error`.
    guess
        What guessing gives of an outcome, the most that a plateau may have. Where it is not given, the logarithm of the
        number of classes for losses, if that number is known.

    Raises
    ------
    InputError
        With every fault of the source. Nothing is loaded partially.
    """
    conditions = _conditions(where)
    rows = rows_before(
        source, conditions, needed=needed, set=set, wide=wide, decimal=decimal, outcome=outcome, guess=guess
    )
    return _kept(rows, conditions)


def rows_before(
    source: Any,
    where: str | Sequence[str],
    *,
    needed: Sequence[str] = NEEDED,
    set: Mapping[str, str] | None = None,
    wide: Mapping[str, str] | None = None,
    decimal: str = ".",
    outcome: str | Outcome = ERROR,
    guess: float | None = None,
) -> Table:
    """Return the rows of `read_table` before its conditions apply; those that they keep have errors."""
    if decimal not in (".", ","):
        raise InputError("table", [Fault("decimal", "must be a point or a comma", clipped(decimal))])
    asked = outcome if isinstance(outcome, Outcome) else Outcome(canonical(outcome), guess)
    if guess is not None and (asked.is_error or not 0 < guess < float("inf")):
        must = "must be a positive number, and belongs to an outcome other than the error"
        raise InputError("table", [Fault("guess", must, clipped(guess))])
    conditions = _conditions(where)
    shaping = Shaping(dict(set or {}), dict(wide or {}), decimal)
    table = _read(source, _How(needed, shaping, asked, gaps=bool(conditions)))
    if "test_error" not in needed:
        return table
    return _with_errors(table, None if _is_stored(source) else conditions)


def _conditions(where: str | Sequence[str]) -> list[str]:
    return [term for term in ([where] if isinstance(where, str) else where) if term.strip()]


def _kept(table: Table, conditions: Sequence[str]) -> Table:
    for condition in conditions:
        table = table.where(condition)
    return table


def _is_stored(source: Any) -> bool:
    """Whether a source is no file: its errors may be missing where losses alone were recorded."""
    from prunescope.table.store import Store, is_store

    return isinstance(source, Table | Store) or (isinstance(source, str | os.PathLike) and is_store(Path(source)))


def load_table(name: str) -> Table:
    """Return a table that comes with prunescope, by name: see `published_tables`.

    Raises
    ------
    InputError
        Where there is none of that name; with the names that there are.
    """
    shipped = published_file(name)
    if shipped is None:
        raise refuse_unpublished(str(name))
    with resources.as_file(shipped) as file:
        return replace(read_table(file), source=name)


def _with_errors(table: Table, conditions: Sequence[str] | None) -> Table:
    """Return the rows with errors: a store's may lack them where losses alone were recorded, a file's by conditions."""
    missing = np.isnan(table["test_error"])
    if not missing.any():
        return table
    if conditions is not None:
        if count := int(np.isnan(_kept(table, conditions)["test_error"]).sum()):
            must = "must have a value in every row that conditions keep"
            hint = "Fill it in, delete the rows, or leave them out: --where 'error is not null'."
            raise InputError(table.source, [Fault("column 'error'", must, f"none in {counted(count, 'row')}", hint)])
        return replace(table.take(~missing), notes=(*table.notes, *unfinished_runs(table.columns, missing)))
    if missing.all():
        hint = "To go by the loss instead: --outcome test_loss, in Python outcome='test_loss'."
        raise InputError(table.source, [Fault("column 'test_error'", "must have values", "none", hint)])
    words = f"{counted(int(missing.sum()), 'row')} without a test error left out; --outcome test_loss goes by losses"
    return replace(table.take(~missing), notes=(*table.notes, words))


def _read(source: Any, how: _How) -> Table:
    from prunescope.table.store import Store, is_store

    if isinstance(source, Table):
        return _reshaped(source, how)
    if isinstance(source, Store):
        return _reshaped(source.table(), how)
    if isinstance(source, Mapping):
        return _conformed(source, Findings("table"), how)
    if hasattr(source, "column_names") and hasattr(source, "column"):
        return _arrow(source, how)
    if hasattr(source, "columns") and hasattr(source, "to_dict"):
        return _frame(source, how)
    if not isinstance(source, str | os.PathLike):
        must = "must be a path, a store, a DataFrame, or a mapping of names to columns"
        raise InputError("table", [Fault("the source", must, type(source).__name__)])
    name = clipped(str(source), 300)[1:-1]
    if str(source) == "-":
        return _stream(sys.stdin.buffer, "standard input", how)
    path = Path(source)
    try:
        if path.is_dir():
            if is_store(path):
                return _reshaped(Store(path).table(), how)
            must = "must be a CSV file, a Parquet file or a store"
            raise InputError(name, [Fault("the table", must, "a folder that is no store")])
        if path.exists() and not path.is_file():
            with path.open("rb") as stream:
                return _stream(stream, name, how)
        if not path.exists() and (shipped := published_file(str(source))) is not None:
            with resources.as_file(shipped) as file:
                return _parquet(file, name, how)
        return _file(path, name, how)
    except (FileNotFoundError, NotADirectoryError) as trouble:
        hint = nearest(path.name, [*_neighbours(path), *published_tables()], cutoff=0.75)
        raise InputError(name, [Fault("the table", "must be a file or a store", "nothing there", hint)]) from trouble
    except OSError as trouble:
        raise InputError(name, [Fault("the file", "must be readable", trouble.strerror or "")]) from None


def _conformed(raw: Mapping[str, Any], findings: Findings, how: _How) -> Table:
    """Return the columns of a source as a table, shaped as was asked for."""
    if not how.shaping:
        return conform(raw, findings, how.needed, how.outcome, how.gaps)
    columns, notes = how.shaping.applied(raw, findings)
    table = conform(columns, findings, how.needed, how.outcome, how.gaps)
    return replace(table, notes=(*notes, *table.notes))


def _reshaped(table: Table, how: _How) -> Table:
    """Return a table with other columns; unpruned errors that were filled in are filled in anew."""
    if not how.shaping and how.outcome in (ERROR, table.outcome):
        return table
    if how.outcome.is_error:
        how = how._replace(outcome=table.outcome)
    columns = dict(table.columns)
    if table.unpruned_rows is not None:
        columns["unpruned_error"] = np.where(table.unpruned_rows > 0, np.nan, columns["unpruned_error"])
    conformed = _conformed(columns, Findings(table.source), how)
    return replace(conformed, datasets=table.datasets, stored_outcomes=table.stored_outcomes)


def _stream(stream: BinaryIO, name: str, how: _How) -> Table:
    """Read a pipe, which can be read only once, by way of a file."""
    with tempfile.NamedTemporaryFile(prefix="prunescope-") as spool:
        shutil.copyfileobj(stream, spool)
        spool.flush()
        return _file(Path(spool.name), name, how)


# How files of other kinds begin, what they are, and what to do with them.
_OTHERS = {
    b"\x1f\x8b": ("gzip", "Unpack it first."),
    b"PK\x03\x04": ("a spreadsheet or archive", "Save the sheet as CSV."),
    b"\xff\xfe": ("UTF-16", "Save it as CSV in UTF-8."),
    b"\xfe\xff": ("UTF-16", "Save it as CSV in UTF-8."),
    b"[": ("JSON", "Write the table as CSV or Parquet."),
    b"{": (
        "JSON",
        "Write the table as CSV or Parquet; a saved law answers prunescope predict and prunescope sparsity.",
    ),
}


def _file(path: Path, name: str, how: _How) -> Table:
    if "\0" in str(path):
        raise FileNotFoundError
    with path.open("rb") as stream:
        head = stream.read(4)
        size = stream.seek(0, 2)
    if head == b"PAR1":
        return _parquet(path, name, how)
    for start, (kind, hint) in _OTHERS.items():
        if head.startswith(start):
            raise InputError(name, [Fault("the file", "must be CSV or Parquet", kind, hint)])
    if path.suffix.lower() in (".parquet", ".pq"):
        described = "something else" if size else "an empty file"
        hint = "If it is CSV, call it .csv." if size else ""
        raise InputError(name, [Fault("the file", "must be Parquet, as its name says", described, hint)])
    return _csv(path, name, size, how)


def _frame(frame: Any, how: _How) -> Table:
    names = [str(name) for name in frame.columns]
    _refuse_twins(names, "DataFrame")
    columns = {name: frame[name] for name in frame.columns}
    index = getattr(getattr(frame, "index", None), "names", ())
    hidden = [name for name in index if name is not None and canonical(str(name)) in BY_NAME]
    if hidden:
        hidden_names = f"{listed(hidden)} in its index"
        fault = Fault("the DataFrame", "must have its columns as columns", hidden_names, "Call reset_index() first.")
        raise InputError("DataFrame", [fault])
    return _conformed(columns, Findings("DataFrame"), how)


def _arrow(table: Any, how: _How) -> Table:
    """Read a table or record batch of Arrow's, whose columns may share a name."""
    names = [str(name) for name in table.column_names]
    _refuse_twins(names, "Arrow table")
    columns = {name: table.column(place) for place, name in enumerate(names)}
    return _conformed(columns, Findings("Arrow table"), how)


def _refuse_twins(names: Sequence[str], source: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(source, [Fault(f"column {twice[0]!r}", "must be there once", "twice")])


def _neighbours(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.parent.iterdir()]
    except (OSError, ValueError):
        return []


def _csv(path: Path, name: str, size: int, how: _How) -> Table:
    if (
        size >= LARGE
        and how.shaping.decimal == "."
        and path.suffix.lower() != ".tsv"
        and (bulk := read_large_csv(path)) is not None
    ):
        try:
            return _conformed(bulk, Findings(name), how)
        except InputError:
            pass  # the reader below names the lines
    findings = Findings(name)
    raw = read_csv(path, findings, semicolons=how.shaping.decimal == ",")
    if not raw:
        findings.raise_if_any()
    return _conformed(raw, findings, how)


def _parquet(path: Path, name: str, how: _How) -> Table:
    findings = Findings(name)
    try:
        raw = _read_parquet(path, findings)
    except (duckdb.Error, UnicodeDecodeError, MemoryError, OverflowError) as trouble:
        words = str(trouble).split("\n")[0][:200]
        words_found = f"a damaged file ({words})" if words else "a damaged file"
        raise InputError(name, [Fault("the file", "must be whole Parquet", words_found)]) from None
    return _conformed(raw, findings, how)


# Columns asked for at a time: the time that DuckDB takes to prepare a query grows with the square of their number.
_AT_A_TIME = 500


def _read_parquet(path: Path, findings: Findings) -> dict[str, Array | Texts]:
    """Return the columns of a Parquet file, each as float64, int64, bool or text.

    A few bytes may stand for any number of rows, or of letters, so both are counted before anything is read.
    """
    with connection() as opened:
        name = literal(plain_path(path))
        (columns,) = only_row(opened, f"select count(*) from parquet_schema({name}) where num_children is null")
        findings.refuse_size(0, columns)
        (counted_rows,) = only_row(opened, f"select sum(num_rows) from parquet_file_metadata({name})")
        (stored_rows,) = only_row(
            opened,
            "select coalesce(sum(rows), 0) from (select max(row_group_num_rows) as rows "
            f"from parquet_metadata({name}) group by row_group_id)",
        )
        findings.refuse_size(max(counted_rows, stored_rows), columns)
        source = f"read_parquet({name}, hive_partitioning = false)"
        described = opened.execute(f"describe select * from {source}").fetchall()
        texts = [name for name, kind, *_ in described if _is_text(kind)]
        total = 0
        for batch in _batched(texts):
            lengths = ", ".join(f"max(strlen({_text(name)})), sum(strlen({_text(name)}))" for name in batch)
            answer = [length or 0 for length in only_row(opened, f"select {lengths} from {source}")]
            for name, longest in zip(batch, answer[::2], strict=True):
                if longest > MOST_LETTERS:
                    findings.add(
                        f"column {clipped(name)}", f"must hold texts of at most {MOST_LETTERS:,} bytes", f"{longest:,}"
                    )
            total += sum(answer[1::2])
        if total > MOST_TEXT:
            findings.add("the texts", f"must be at most {MOST_TEXT:,} bytes in all", f"{total:,}")
        findings.raise_if_any()
        columns_read: dict[str, Array | Texts] = {}
        for batch in _batched(described):
            columns_read |= read_columns(opened, {name: _cast(name, kind) for name, kind, *_ in batch}, source)
        return columns_read


def _batched(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Give items some at a time."""
    return (items[start : start + _AT_A_TIME] for start in range(0, len(items), _AT_A_TIME))


_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
_REALS = ("UBIGINT", "HUGEINT", "UHUGEINT", "FLOAT", "DOUBLE")


def _is_text(kind: str) -> bool:
    return kind not in ("BOOLEAN", *_INTEGERS, *_REALS) and not kind.startswith("DECIMAL")


def _text(name: str) -> str:
    return f"{quoted(name)}::varchar"


def _cast(name: str, kind: str) -> str:
    column = quoted(name)
    if kind == "BOOLEAN":
        return column
    if kind in _INTEGERS:
        return f"{column}::bigint"
    return _text(name) if _is_text(kind) else f"{column}::double"
