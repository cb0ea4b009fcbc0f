"""Anybody's measurements as a `Table`: CSV, Parquet, a store, a DataFrame, or plain columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from prunescope.errors import Fault, InputError, clipped, nearest
from prunescope.table.columns import conform
from prunescope.table.csvbulk import LARGE, read_large_csv
from prunescope.table.csvfile import read_csv
from prunescope.table.engine import read_parquet
from prunescope.table.findings import Findings
from prunescope.table.table import Table


def read_table(source: Any, where: str = "") -> Table:
    """Read measurements, check every row, and fill in the unpruned error.

    Parameters
    ----------
    source
        Path of a CSV file, a Parquet file or a store; a `Store`; a `Table`; a pandas DataFrame; or a mapping of column
        names to values.
    where
        Condition in SQL that rows must fulfil, such as ``"depth = 20"``. Unpruned errors are taken before it applies.

    Raises
    ------
    InputError
        With every fault of the source. Nothing is read by half.
    """
    table = _read(source)
    return table.where(where) if where.strip() else table


def _read(source: Any) -> Table:
    from prunescope.table.store import Store, is_store

    if isinstance(source, Table):
        return source
    if isinstance(source, Store):
        return source.table()
    if isinstance(source, Mapping):
        return conform(source, Findings("table"))
    if hasattr(source, "columns") and hasattr(source, "to_dict"):
        return conform({name: _series(source[name]) for name in source.columns}, Findings("DataFrame"))
    path = Path(source)
    name = clipped(str(source), 300)[1:-1]
    try:
        if path.is_dir():
            if is_store(path):
                return Store(path).table()
            must = "must be a CSV file, a Parquet file or a store"
            raise InputError(name, [Fault("the table", must, "a folder that is no store")])
        with path.open("rb") as stream:
            magic = stream.read(4)
            stream.seek(0, 2)
            size = stream.tell()
        if magic == b"PAR1" or path.suffix.lower() in (".parquet", ".pq"):
            return _parquet(path, name, size)
        return _csv(path, name, size)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        hint = nearest(path.name, _neighbours(path))
        raise InputError(name, [Fault("the table", "must be a file or a store", "nothing there", hint)]) from None
    except OSError as trouble:
        raise InputError(name, [Fault("the file", "must be readable", trouble.strerror or "")]) from None


def _series(series: Any) -> Any:
    """Return a pandas column as an array; pandas' own types of missing values as None."""
    return series.to_numpy() if isinstance(series.dtype, np.dtype) else series.to_numpy(dtype=object, na_value=None)


def _neighbours(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.parent.iterdir()]
    except (OSError, ValueError):
        return []


def _csv(path: Path, name: str, size: int) -> Table:
    if size >= LARGE and (bulk := read_large_csv(path)) is not None:
        try:
            return conform(bulk, Findings(name))
        except InputError:
            pass  # the reader below tells the lines
    findings = Findings(name)
    raw = read_csv(path, findings)
    if not raw:
        findings.raise_if_any()
    return conform(raw, findings)


def _parquet(path: Path, name: str, size: int) -> Table:
    if size == 0:
        raise InputError(name, [Fault("the file", "must be Parquet", "an empty file")])
    try:
        raw = read_parquet(path)
    except (duckdb.Error, UnicodeDecodeError, MemoryError, OverflowError) as trouble:
        words = str(trouble).split("\n")[0][:200]
        found = f"a damaged file ({words})" if words else "a damaged file"
        raise InputError(name, [Fault("the file", "must be whole Parquet", found)]) from None
    return conform(raw, Findings(name))
