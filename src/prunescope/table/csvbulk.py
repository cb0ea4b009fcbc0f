"""Large CSV files, read by DuckDB in bulk as long as they are sound.

This reader only ever says yes: where anything at all is odd (a row of another length, a number in words, a quote
left open) it returns None, and `csvfile` reads the file again, slower, and finds out what is wrong and on which
line. A test holds the two together on sound files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from prunescope.table.duckdb_engine import connection, fetch, literal, plain_path, quoted
from prunescope.table.schema import is_number

# Below this, starting DuckDB costs more than it saves.
LARGE = 4_000_000
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"


def read_large_csv(path: Path) -> dict[str, Any] | None:
    """Return a sound CSV file's columns: numbers of the schema as float64, all else as texts; None where in doubt."""
    with path.open("rb") as opened:
        first = opened.readline(100_000)
        # Quotes are where readers of CSV part ways.
        if b'"' in first or any(b'"' in chunk for chunk in iter(lambda: opened.read(1 << 24), b"")):
            return None
    try:
        header = [name.strip() for name in first.decode("utf-8-sig").rstrip("\r\n").split(",")]
    except UnicodeDecodeError:
        return None
    plain = all(name and not name.startswith("#") and not set('";\t|\0') & set(name) for name in header)
    if len(header) < 2 or len(set(map(str.lower, header))) < len(header) or not plain:
        return None
    numeric = [name for name in header if is_number(name)]
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in header)
    source = (
        f"read_csv({literal(plain_path(path))}, columns = {{{columns}}}, auto_detect = false, header = true, "
        "delim = ',', quote = '\"', escape = '\"', strict_mode = true, null_padding = false, compression = 'none')"
    )
    picked = [f"try_cast({quoted(name)} as double) as {quoted(name)}" for name in numeric]
    picked += [quoted(name) for name in header if name not in numeric]
    odd = " or ".join(f"not regexp_matches({quoted(name)}, {literal(_NUMBER)})" for name in numeric) or "false"
    try:
        with connection() as opened_engine:
            fetched = fetch(opened_engine, f"select {', '.join(picked)}, coalesce({odd}, false) as __odd from {source}")
    except duckdb.Error:
        return None
    if fetched.pop("__odd").any():
        return None
    # As a list, a column is one whose type is still to be guessed; as an array of text it would be text.
    return {name: fetched[name] if name in numeric else fetched[name].tolist() for name in header}
