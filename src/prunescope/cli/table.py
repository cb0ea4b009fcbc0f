"""``prunescope table``: anybody's measurements checked, filtered, shown and written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prunescope.cli.show import print_columns, safe

if TYPE_CHECKING:
    from prunescope.table import Table


@click.command()
@click.argument("source", metavar="TABLE")
@click.option(
    "--where",
    multiple=True,
    help="Condition in SQL, such as 'depth = 20 and density < 0.5'. May be repeated.",
)
@click.option("--columns", help="Columns to show or write, such as depth,density,error.")
@click.option("--out", type=click.Path(path_type=Path), help="Write all rows to FILE: .csv, .parquet or .json.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Rows to show.")
@click.option("--json", "as_json", is_flag=True, help="Print all rows as JSON.")
def table(source: str, where: Sequence[str], columns: str | None, out: Path | None, limit: int, as_json: bool) -> None:
    """Check a TABLE and show or write its rows."""
    from prunescope.table import json_text, read_table, write_table

    rows = read_table(source)
    for note in rows.notes:
        click.echo(f"note: {note}", err=True)
    for condition in where:
        rows = rows.where(condition)
    if columns:
        rows = rows.select([name.strip() for name in columns.split(",") if name.strip()])
    if out is not None:
        write_table(rows, out)
        click.echo(f"wrote {len(rows):,} rows to {out}", err=True)
    elif as_json:
        click.echo(json_text(rows))
    else:
        _print_table(rows, limit)


def _print_table(rows: Table, limit: int) -> None:
    import numpy as np

    from prunescope.table import shown

    click.echo(f"{len(rows):,} rows from {safe(rows.source)}")
    if not len(rows):
        return
    constant = [name for name in rows.names if len(rows) > 1 and _constant(rows[name])]
    told = [
        f"{name} {shown(value)}"
        for name in constant
        if (value := rows[name].tolist()[0]) is not None and value == value
    ]
    if told:
        click.echo(f"in every row: {safe(', '.join(told))}")
    varied = [name for name in rows.names if name not in constant] or list(rows.names)
    first = rows.select(varied).take(np.arange(min(limit, len(rows))))
    lines = [[shown(value) for value in row.values()] for row in first.rows()]
    right = [first[name].dtype.kind in "fi" for name in first.names]
    click.echo()
    print_columns(first.names, lines, right)
    if len(rows) > limit:
        click.echo(f"... and {len(rows) - limit:,} more; --limit N shows more, --out FILE writes all")


def _constant(values: Any) -> bool:
    first = values[0]
    return bool(all(value != value for value in values) if first != first else (values == first).all())
