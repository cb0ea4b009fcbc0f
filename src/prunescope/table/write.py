"""Tables to files: CSV, Parquet and JSON, each written whole or not at all."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from prunescope.errors import Fault, InputError
from prunescope.files import replacing
from prunescope.table.csvfile import csv_text
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
    with replacing(target) as draft:
        if suffix == ".parquet":
            ParquetWriter().write(table.columns, draft)
        else:
            text = csv_text(table) if suffix == ".csv" else json_text(table) + "\n"
            draft.write_text(text, encoding="utf-8", newline="")
