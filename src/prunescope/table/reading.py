"""Anybody's measurements as a `Table`: CSV, Parquet, a store, a DataFrame, or plain columns."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import duckdb

from prunescope.errors import Fault, InputError, clipped, listed, nearest
from prunescope.table.columns import conform
from prunescope.table.csvfile import LARGE, read_csv, read_large_csv
from prunescope.table.duckdb_engine import read_parquet
from prunescope.table.findings import Findings
from prunescope.table.schema import BY_NAME, NEEDED, canonical
from prunescope.table.table import Table


def read_table(source: Any, where: str = "", *, needed: Sequence[str] = NEEDED) -> Table:
    """Read measurements, check every row, and fill in the unpruned error.

    Parameters
    ----------
    source
        Path of a CSV file, a Parquet file or a store, ``-`` for standard input; a `Store`; a `Table`; a pandas
        or polars DataFrame; an Arrow table; or a mapping of column names to values.
    where
        Condition in SQL that rows must fulfil, such as ``"depth = 20"``. Unpruned errors are taken before it applies.
    needed
        Columns that must be there; networks whose errors are to be predicted have none.

    Raises
    ------
    InputError
        With every fault of the source. Nothing is read by half.
    """
    table = _read(source, needed)
    return table.where(where) if where.strip() else table


def _read(source: Any, needed: Sequence[str]) -> Table:
    from prunescope.table.store import Store, is_store

    if isinstance(source, Table):
        return source
    if isinstance(source, Store):
        return source.table()
    if isinstance(source, Mapping):
        return conform(source, Findings("table"), needed)
    if hasattr(source, "column_names") and hasattr(source, "column"):
        return _arrow(source, needed)
    if hasattr(source, "columns") and hasattr(source, "to_dict"):
        return _frame(source, needed)
    if not isinstance(source, str | os.PathLike):
        must = "must be a path, a store, a DataFrame, or a mapping of names to columns"
        raise InputError("table", [Fault("the source", must, type(source).__name__)])
    name = clipped(str(source), 300)[1:-1]
    if str(source) == "-":
        return _stream(sys.stdin.buffer, "standard input", needed)
    path = Path(source)
    try:
        if path.is_dir():
            if is_store(path):
                return Store(path).table()
            must = "must be a CSV file, a Parquet file or a store"
            raise InputError(name, [Fault("the table", must, "a folder that is no store")])
        if path.exists() and not path.is_file():
            with path.open("rb") as stream:
                return _stream(stream, name, needed)
        return _file(path, name, needed)
    except (FileNotFoundError, NotADirectoryError) as trouble:
        hint = nearest(path.name, _neighbours(path), cutoff=0.75)
        raise InputError(name, [Fault("the table", "must be a file or a store", "nothing there", hint)]) from trouble
    except OSError as trouble:
        raise InputError(name, [Fault("the file", "must be readable", trouble.strerror or "")]) from None


def _stream(stream: BinaryIO, name: str, needed: Sequence[str]) -> Table:
    """Read a pipe, which can be read only once, by way of a file."""
    with tempfile.NamedTemporaryFile(prefix="prunescope-") as spool:
        shutil.copyfileobj(stream, spool)
        spool.flush()
        return _file(Path(spool.name), name, needed)


# How files of other kinds begin, what they are, and what to do with them.
_OTHERS = {
    b"\x1f\x8b": ("gzip", "Unpack it first."),
    b"PK\x03\x04": ("a spreadsheet or archive", "Save the sheet as CSV."),
    b"\xff\xfe": ("UTF-16", "Save it as CSV in UTF-8."),
    b"\xfe\xff": ("UTF-16", "Save it as CSV in UTF-8."),
    b"[": ("JSON", "Write the table as CSV or Parquet."),
    b"{": ("JSON", "Write the table as CSV or Parquet."),
}


def _file(path: Path, name: str, needed: Sequence[str]) -> Table:
    if "\0" in str(path):
        raise FileNotFoundError
    with path.open("rb") as stream:
        head = stream.read(4)
        size = stream.seek(0, 2)
    if head == b"PAR1":
        return _parquet(path, name, needed)
    for start, (kind, hint) in _OTHERS.items():
        if head.startswith(start):
            raise InputError(name, [Fault("the file", "must be CSV or Parquet", kind, hint)])
    if path.suffix.lower() in (".parquet", ".pq"):
        described = "something else" if size else "an empty file"
        hint = "If it is CSV, call it .csv." if size else ""
        raise InputError(name, [Fault("the file", "must be Parquet, as its name says", described, hint)])
    return _csv(path, name, size, needed)


def _frame(frame: Any, needed: Sequence[str]) -> Table:
    names = [str(name) for name in frame.columns]
    _refuse_twins(names, "DataFrame")
    columns = {name: frame[name] for name in frame.columns}
    index = getattr(getattr(frame, "index", None), "names", ())
    hidden = [name for name in index if name is not None and canonical(str(name)) in BY_NAME]
    if hidden:
        hidden_names = f"{listed(hidden)} in its index"
        fault = Fault("the DataFrame", "must have its columns as columns", hidden_names, "Call reset_index() first.")
        raise InputError("DataFrame", [fault])
    return conform(columns, Findings("DataFrame"), needed)


def _arrow(table: Any, needed: Sequence[str]) -> Table:
    """Read a table or record batch of Arrow's, whose columns may share a name."""
    names = [str(name) for name in table.column_names]
    _refuse_twins(names, "Arrow table")
    columns = {name: table.column(place) for place, name in enumerate(names)}
    return conform(columns, Findings("Arrow table"), needed)


def _refuse_twins(names: Sequence[str], source: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(source, [Fault(f"column {twice[0]!r}", "must be there once", "twice")])


def _neighbours(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.parent.iterdir()]
    except (OSError, ValueError):
        return []


def _csv(path: Path, name: str, size: int, needed: Sequence[str]) -> Table:
    if size >= LARGE and path.suffix.lower() != ".tsv" and (bulk := read_large_csv(path)) is not None:
        try:
            return conform(bulk, Findings(name), needed)
        except InputError:
            pass  # the reader below tells the lines
    findings = Findings(name)
    raw = read_csv(path, findings)
    if not raw:
        findings.raise_if_any()
    return conform(raw, findings, needed)


def _parquet(path: Path, name: str, needed: Sequence[str]) -> Table:
    findings = Findings(name)
    try:
        raw = read_parquet(path, findings)
    except (duckdb.Error, UnicodeDecodeError, MemoryError, OverflowError) as trouble:
        words = str(trouble).split("\n")[0][:200]
        words_found = f"a damaged file ({words})" if words else "a damaged file"
        raise InputError(name, [Fault("the file", "must be whole Parquet", words_found)]) from None
    return conform(raw, findings, needed)
