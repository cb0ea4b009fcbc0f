"""The page `docs/table.md`, generated from the schema.

python -m prunescope.table.reference docs/table.md           write it
python -m prunescope.table.reference --check docs/table.md   fail where it is stale
"""

from __future__ import annotations

import sys
from pathlib import Path

from prunescope.table.schema import COLUMNS, NEEDED, Column, ColumnGroup, Kind

_HEAD = """\
# The table

One row is one rung: one trained network. Every command that takes a TABLE reads a CSV file, a Parquet file or a
store, checks each row against the columns below, and tells every fault at once; a table with a fault is not read at
all.

This page is generated from `src/prunescope/table/schema.py` by `make docs`.

## Your own file

Two columns are enough: `density` and `error`. Use the names below for whatever else you know; capital letters,
spaces, dashes and underscores in them do not matter (`Data Set` is `dataset`). Columns with other names are kept and
can be used to group and to filter; one that is nearly named as a column below is noted.

- Commas separate columns; a file called `.tsv` has tabs, and one whose first line is `sep=;` has what that line names.
  `-` is standard input. Numbers have a decimal point.
- `error` and `test_error` are the same column, written as `test_error`. Errors and densities are fractions, never
  percent.
- Where `unpruned_error` is missing it is the mean error at density 1 over the rows that share the configuration
  columns, whatever their treatment. Left out of that mean: rungs above 0 of `treatment` `extended` (trained longer) and
  `leave-out` (trained on fewer examples).
- Columns of your own tell rungs apart, but not unpruned networks: rows at density 1 that share the configuration
  columns are averaged whatever your own columns say, and a note tells you so. If `model` stands for different
  networks, call it `family`.
- A table that is written holds the unpruned errors that were filled in, since rows at density 1 may have been filtered
  away; read again, they count as given.
- Rows that repeat a configuration and a density need a `replicate` number. Without that column they are numbered in the
  order of the file, and a row that repeats another in everything, results included, is taken for a mistake.
- A file may have 10,000,000 rows, 10,000 columns and 200,000,000 values (rows times columns); one text
  131,072 letters, and all texts of a Parquet file 1,000,000,000 bytes. A file beyond that is refused.
- A number that may be missing is left empty (`NA`, `nan` and `null` mean the same). Whole numbers and flags are never
  missing: leave the column out where they are not known.
- CSV has no types: a column of your own that holds nothing but numbers is read as numbers. Parquet keeps what it was.
- Values are written to CSV as they are. A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula
  and runs it. Where text in a table comes from others, import the file with these columns set to text, or write Parquet
  (`--out FILE.parquet`).

## Columns

"May be empty" speaks of single values. A store has every column but the derived ones; of your own file only {needed}
are needed.
"""


def reference() -> str:
    """Return the page's text."""
    needed = " and ".join(f"`{name}`" for name in NEEDED)
    parts = [_HEAD.format(needed=needed)]
    for group in ColumnGroup:
        parts.append(f"\n### {group.capitalize()}\n")
        parts.append("| column | type | unit | range | may be empty | meaning |")
        parts.append("|---|---|---|---|---|---|")
        parts += [_line(column) for column in COLUMNS if column.group is group]
    return "\n".join(parts) + "\n"


def _line(column: Column) -> str:
    numeric = column.kind in (Kind.INTEGER, Kind.NUMBER)
    bounds = str(column.range) if numeric else ""
    empty = "yes" if column.optional else "no"
    return f"| `{column.name}` | {column.kind} | {column.unit} | {bounds} | {empty} | {column.meaning} |"


def main(arguments: list[str]) -> int:
    """Write the page, or say whether it is stale."""
    check, path = "--check" in arguments, Path(arguments[-1])
    if not check:
        path.write_text(reference(), encoding="utf-8")
        return 0
    stale = not path.exists() or path.read_text(encoding="utf-8") != reference()
    if stale:
        sys.stderr.write(f"{path} is stale: run `make docs`\n")
    return int(stale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
