"""The one door to DuckDB: Parquet in and out, conditions and queries in SQL.

Connections are made for one task and closed. They fetch no extensions, and a query written by a user runs only after
the connection was locked away from files and settings.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from prunescope.errors import Fault, InputError, listed, nearest
from prunescope.table.columns import gaps_filled, widened
from prunescope.table.table import Array

_ROW = "__row"


def _opened() -> duckdb.DuckDBPyConnection:
    never: dict[str, Any] = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    return duckdb.connect(":memory:", config=never)


@contextmanager
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an empty database in memory that never asks a network for anything."""
    opened = _opened()
    try:
        yield opened
    finally:
        opened.close()


class ParquetWriter:
    """Writes columns to new Parquet files; keeps its connection, which takes longer to open than a shard to write."""

    def __init__(self) -> None:
        self._opened: duckdb.DuckDBPyConnection | None = None
        self._process = 0

    def write(self, columns: Mapping[str, Array], path: Path) -> None:
        """Write columns to a Parquet file; safe from several threads, and after a fork."""
        if self._opened is None or self._process != os.getpid():
            self._opened, self._process = _opened(), os.getpid()
        cursor = self._opened.cursor()
        try:
            cursor.register("columns", dict(columns))
            kinds = {"f": "double", "i": "bigint", "b": "boolean"}
            picked = ", ".join(
                f"{quoted(name)}::{kinds.get(values.dtype.kind, 'varchar')} as {quoted(name)}"
                for name, values in columns.items()
            )
            written = literal(str(path))
            cursor.execute(f"copy (select {picked} from columns) to {written} (format parquet, compression zstd)")
        finally:
            cursor.close()


def quoted(name: str) -> str:
    """Write a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Write text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def plain_path(path: str | Path) -> str:
    """Write a path so that DuckDB takes ``*``, ``?`` and ``[`` in it for themselves."""
    absolute = str(Path(path).absolute())
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in absolute)


def fetch(opened: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[object] = ()) -> dict[str, Array]:
    """Return a query's columns: float64 with NaN, int64, bool, or objects with None; integers with gaps as float64."""
    result = opened.execute(sql, list(parameters)).fetchnumpy()
    return {name: _unmasked(values) for name, values in result.items()}


def _unmasked(values: Any) -> Array:  # noqa: ANN401
    if np.ma.is_masked(values):
        return gaps_filled(values)
    return widened(np.asarray(values))


def read_parquet(path: Path) -> dict[str, Array]:
    """Return the columns of a Parquet file, each as float64, int64, bool or text."""
    with connection() as opened:
        source = f"read_parquet({literal(plain_path(path))})"
        described = opened.execute(f"describe select * from {source}").fetchall()
        picked = ", ".join(_cast(name, kind) for name, kind, *_ in described)
        return fetch(opened, f"select {picked} from {source}")


def _cast(name: str, kind: str) -> str:
    column = quoted(name)
    if kind == "BOOLEAN":
        return column
    if kind in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"):
        return f"{column}::bigint as {column}"
    if kind in ("UBIGINT", "HUGEINT", "UHUGEINT", "FLOAT", "DOUBLE") or kind.startswith("DECIMAL"):
        return f"{column}::double as {column}"
    return f"{column}::varchar as {column}"


def matching(columns: Mapping[str, Array], condition: str, source: str) -> Array:
    """Return which rows fulfil a condition, in SQL over the columns; ``error`` is ``test_error``."""
    used = _mentioned(columns, condition)
    rows = {**used, _ROW: np.arange(len(next(iter(columns.values()))))}
    with connection() as opened:
        _load(opened, rows)
        found = _ask(opened, f"select {_ROW} from rungs where ({condition}\n)", condition, columns, source)
    mask = np.zeros(len(rows[_ROW]), bool)
    mask[np.asarray(found[_ROW], dtype=np.int64)] = True
    return mask


def answer(columns: Mapping[str, Array], sql: str, source: str) -> dict[str, Array]:
    """Return what a query over ``rungs`` answers."""
    with connection() as opened:
        _load(opened, _mentioned(columns, sql))
        return _ask(opened, sql, sql, columns, source)


def _load(opened: duckdb.DuckDBPyConnection, columns: Mapping[str, Array]) -> None:
    opened.register("__arrays", dict(columns))
    picked = [f"{_sql(name, values)} as {quoted(name)}" for name, values in columns.items()]
    if "test_error" in columns and "error" not in columns:
        picked.append(f"{_sql('test_error', columns['test_error'])} as error")
    opened.execute(f"create table rungs as select {', '.join(picked)} from __arrays")
    opened.unregister("__arrays")


def _sql(name: str, values: Array) -> str:
    """Name a registered array in SQL, missing numbers as null."""
    if values.dtype.kind == "f":
        return f"nullif({quoted(name)}, 'nan'::double)"
    return f"{quoted(name)}::varchar" if values.dtype.kind == "O" else quoted(name)


def lock_away(opened: duckdb.DuckDBPyConnection) -> None:
    """Take files, network and settings away from a connection before a user's query runs on it."""
    opened.execute("set enable_external_access = false")
    opened.execute("set lock_configuration = true")


def _ask(
    opened: duckdb.DuckDBPyConnection, sql: str, written: str, columns: Mapping[str, Array], source: str
) -> dict[str, Array]:
    lock_away(opened)
    try:
        return fetch(opened, sql)
    except duckdb.Error as trouble:
        raise InputError(source, [query_fault(trouble, written, columns)]) from None


def query_fault(trouble: duckdb.Error, written: str, columns: Mapping[str, Array] | Sequence[str]) -> Fault:
    """Say what is wrong with a user's SQL, with the nearest column where one is unknown."""
    words = str(trouble).split("\n")[0].strip()
    unknown = re.search(r'(?:Referenced column|column) "([^"]+)" not found', words)
    if unknown:
        hint = nearest(unknown[1], columns) or f"There are {listed(columns, 40)}."
        return Fault(f"condition {written!r}", "must use columns that are there", repr(unknown[1]), hint)
    return Fault(f"condition {written!r}", "must be SQL over the columns", words)


def _mentioned(columns: Mapping[str, Array], sql: str) -> dict[str, Array]:
    """Return the columns that a query can need: those whose names occur in it, all where it asks for ``*``."""
    lowered = sql.lower()
    if "*" in lowered.replace("count(*)", ""):
        return dict(columns)
    aliased = {"test_error"} if "error" in lowered else set()
    found = {name: values for name, values in columns.items() if name.lower() in lowered or name in aliased}
    return found or dict([next(iter(columns.items()))])
