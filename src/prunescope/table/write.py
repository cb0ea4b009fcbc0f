"""Tables to files: CSV, Parquet and JSON, each written whole or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from prunescope.errors import Fault, InputError
from prunescope.files import replacing
from prunescope.table.csvfile import csv_parts
from prunescope.table.duckdb_engine import ParquetWriter

if TYPE_CHECKING:
    from prunescope.table.table import Table

SUFFIXES = (".csv", ".parquet", ".json")


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
