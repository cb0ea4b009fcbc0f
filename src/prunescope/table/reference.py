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

One row is one rung: one trained network. Every command that takes a TABLE reads a CSV file, a Parquet file or a store
and checks each row against the columns below. All errors are reported together; nothing is loaded partially.

`make docs` generates this page from `src/prunescope/table/schema.py`.

## Your own file

Two columns are enough: `density` and `error`. Use the names below for whatever else you know; capital letters,
spaces, dashes and underscores in them do not matter (`Data Set` is `dataset`). Columns with other names are kept and
can be used to group and to filter. A name that nearly matches one below is noted.

- Commas separate columns, in a `.tsv` file tabs, and in a file whose first line is `sep=;` whatever that line names.
  `-` is standard input. Numbers have a decimal point ([decimal commas](#a-file-with-other-columns)).
- `error` and `test_error` are the same column, written as `test_error`. Errors and densities are fractions, never
  percent ([percent](#a-file-with-other-columns)).
- A missing `unpruned_error` becomes the mean error at density 1 over the rows that share the configuration columns,
  whatever their treatment. Two kinds of rows are left out of that mean: rungs above 0 of `treatment` `extended`
  (trained longer), and `leave-out` (trained on fewer examples).
- Your own columns tell rungs apart. Unpruned networks that differ in one of them are averaged, as those of a column
  `method` should be, and a note says so. If each value has unpruned rows in every configuration whose errors differ by
  four times the scatter of replicates (without replicates by a quarter), as on another `test_set`, each keeps its own
  mean. A column `model`, `network`, `net`, `architecture`, `arch` or `backbone` always keeps networks apart: each has
  the unpruned error of its own rows, or none, unless the unpruned network has a name of its own there (`dense`).
- A written table holds the unpruned errors that were filled in, since rows at density 1 may have been filtered away.
  When it is read again, they count as given.
- Rows that repeat a configuration and a density need a `replicate` number. Without that column they are numbered in the
  order of the file. A row that repeats another in everything, results included, counts as a mistake.
- A file may have 10,000,000 rows, 10,000 columns and 200,000,000 values (rows times columns), texts of 131,072 letters,
  and a Parquet file 1,000,000,000 bytes of text. A larger file is refused.
- Leave a missing number empty (`NA`, `nan` and `null` mean the same). Whole numbers and flags may not be missing: leave
  the column out if they are not known. Rows without an error, as of runs that crashed, are refused unless a condition
  leaves them out: `--where 'error is not null'`.
- CSV has no types: a column of your own that holds only numbers is read as numbers. Parquet keeps its types.
- Values are written to CSV as they are. A spreadsheet runs a cell that begins with `=`, `+`, `-` or `@` as a formula.
  If text in a table comes from others, import the file with these columns set to text, or write Parquet
  (`--out FILE.parquet`).

## Tables that come with prunescope

`prunescope table` lists measurements that come with the package: ours, each with the study that made it, and published
ones. Every command that takes a TABLE takes their names (`prunescope fit lenet-mnist --law joint`), as long as no file
of that name is there; in Python, `prunescope.load_table("lenet-mnist")`. [What they show](reproduction.md).

## A file with other columns

Every command that takes a TABLE makes the columns that it needs of those that a file has. An error names the very
option that would do:

    prunescope table results.csv --set 'density = 1 - Sparsity / 100' --set 'error = 1 - "Top-1 acc" / 100'
    prunescope table results.csv --set replicate=seed
    prunescope fit results.csv --law single --wide 'acc = acc_{{density}}' --set 'error = 1 - acc / 100'
    prunescope table excel.csv --decimal-comma --set 'density = 1 - Sparsity' --set 'error = 1 - Accuracy'
    prunescope table log.csv --set 'density = 0.8 ** level' --where 'error is not null' \\
        --set "error = case when name = 'test_accuracy' and iteration = 63000 then 1 - value end"

- `--set 'NAME = EXPRESSION'` makes a column, or replaces one. The expression is SQL as DuckDB has it, over the columns
  of the file and those set before: a name with spaces stands in double quotes, text in single quotes, `avg(x) over ()`
  is a mean over all rows. Queries within it are refused, and it reaches no file and no network.
- `--wide 'NAME = PATTERN'` reads files that have a column for each density. `'acc = acc_{{density}}'` makes of each row
  as many rows as there are columns `acc_1.0`, `acc_0.5`, ... with a value, with the number in `density` and the value
  in `acc`. Several patterns with one name in braces are gathered side by side. `'acc = seed{{replicate}}'` does the
  same for a column for each replicate, `'acc = {{sparsity}}%'` for columns `0%`, `50%`, ...
- `--decimal-comma` reads numbers such as `12,5`. Semicolons, or whatever the first line has, separate columns. A point
  between thousands (`1.234,5`) is refused: `1.234` could mean either.
- Values with percent signs are fractions to `--set` and `--decimal-comma`: `12,5 %` is 0.125. Of `91.2 ± 0.3` these
  options read 91.2, of `8x` 8, and `--set` reads `1.3B` as 1,300,000,000 where it needs a number. Notes name the
  columns.
- Trackers of experiments write `params.depth` or `metrics/error`: such columns are known without what stands before the
  point or slash. Columns of times, and of seeds, tell no networks apart.
- Notes name the option where a table is a log with several epochs of each network, where cells of a spreadsheet are
  merged, and where depth or width have other names (`n_layers`); errors, where a column holds how far accuracy falls.
- `--where 'error is not null'` leaves out runs that crashed. Where others at the same densities finished, a note counts
  both: what is said then holds for runs that finish.
- `--outcome test_loss` takes another column for the error: any figure above 0 of which less is better
  ([other outcomes](laws.md#other-outcomes)).
- From Python: `read_table(path, set={{"error": "1 - acc / 100"}}, wide={{"acc": "acc_{{density}}"}}, decimal=",")`, and
  `outcome="test_loss"`.

## Columns

"May be empty" refers to single values. A store has every column but the derived ones; your own file needs only
{needed}.
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
