"""Tables to files: CSV, Parquet and JSON, each written whole or not at all."""

from __future__ import annotations

import json
import math
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from prunescope.errors import Fault, InputError, PrunescopeError
from prunescope.table.csvfile import csv_text
from prunescope.table.durable import open_to_all
from prunescope.table.engine import ParquetWriter

if TYPE_CHECKING:
    from prunescope.table.table import Table

SUFFIXES = (".csv", ".parquet", ".json")


def json_text(table: Table) -> str:
    """Return a table as a JSON array of objects; null where a value is missing or infinite."""
    rows = [
        {name: None if isinstance(value, float) and math.isinf(value) else value for name, value in row.items()}
        for row in table.rows()
    ]
    return json.dumps(rows, ensure_ascii=False, allow_nan=False, indent=1)


def write_table(table: Table, path: object) -> None:
    """Write a table to ``path``; its ending says the format. What stood there before is replaced at the end."""
    target = Path(str(path))
    suffix = target.suffix.lower()
    if suffix not in SUFFIXES:
        found = repr(suffix) if suffix else "no ending"
        raise InputError(str(target), [Fault("the file", f"must end in {', '.join(SUFFIXES)}", found)])
    if not table.names:
        raise InputError(str(target), [Fault("the table", "must have a column")])
    if target.is_dir():
        raise InputError(str(target), [Fault("the file", "must not be a folder")])
    try:
        handle, name = tempfile.mkstemp(prefix=".prunescope-", suffix=suffix, dir=target.parent)
    except OSError as trouble:
        raise PrunescopeError(f"{target} cannot be written: {trouble.strerror}") from None
    draft = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            if suffix == ".csv":
                stream.write(csv_text(table))
            elif suffix == ".json":
                stream.write(json_text(table) + "\n")
        if suffix == ".parquet":
            ParquetWriter().write(table.columns, draft)
        open_to_all(draft)
        draft.replace(target)
    except OSError as trouble:
        raise PrunescopeError(f"{target} cannot be written: {trouble.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)
