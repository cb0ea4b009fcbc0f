"""``prunescope table``: anybody's measurements checked, filtered, shown and written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prunescope.cli.options import reading
from prunescope.errors import counted, printable

if TYPE_CHECKING:
    from prunescope.table import Table


@click.command()
@click.argument("source", metavar="[TABLE]", required=False)
@click.option(
    "--where", multiple=True, help="Keep rows that meet this SQL condition: 'depth = 20 and density < 0.5'. Repeatable."
)
@click.option(
    "--query", help="SELECT over the table rungs, such as 'select depth, avg(error) from rungs group by depth'."
)
@click.option("--columns", multiple=True, help="Columns to show or write, such as depth,density,error.")
@click.option("--out", help="Write all rows to FILE: .csv, .parquet or .json; - is CSV on standard output.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Rows to show.")
@click.option("--json", "as_json", is_flag=True, help="Print all rows as JSON.")
@reading
def table(
    source: str | None,
    where: Sequence[str],
    query: str | None,
    columns: Sequence[str],
    out: str | None,
    limit: int,
    as_json: bool,
    reading: dict[str, Any],
) -> None:
    """Check a TABLE; show, filter or write its rows.

    Conditions apply first, then the query, then the columns. Put text in SQL in single quotes. Without a TABLE: lists
    those that come with prunescope, which every command takes by name.
    """
    if source is None:
        _list_published()
        return
    from prunescope.table import csv_parts, json_parts, read_table, write_table
    from prunescope.table.schema import NEEDED

    if out is not None and out != "-" and Path(out).exists() and Path(out).resolve() == Path(source).resolve():
        raise click.UsageError("--out names the table that is read; name another file")
    needed = ("density",) if Path(source).is_dir() else NEEDED  # all rungs of a store, also those without errors
    rows = read_table(source, where, needed=needed, **reading)
    for note in rows.notes:
        click.echo(f"note: {printable(note)}", err=True)
    if where and not len(rows):
        click.echo("note: no row fulfils the condition", err=True)
    summary = _summary(rows)
    if query is not None:
        rows, summary = rows.query(query), ""
    chosen = [name.strip() for names in columns for name in names.split(",") if name.strip()]
    if columns and not chosen:
        raise click.UsageError("--columns must name one column or more")
    if chosen:
        rows = rows.select(chosen)
    if out == "-":
        for text in csv_parts(rows):
            click.echo(text, nl=False)
    elif out is not None:
        write_table(rows, out)
        click.echo(f"wrote {counted(len(rows), 'row')} to {out}", err=True)
    elif as_json:
        for text in (*json_parts(rows), "\n"):
            click.echo(text, nl=False)
    else:
        _print_table(rows, summary, limit, shorten=not chosen and query is None)


def _list_published() -> None:
    """Show the tables that come with the package."""
    from prunescope.cli.printing import wrapped
    from prunescope.table import load_table, published_tables

    for name, published in published_tables().items():
        rows = load_table(name)
        click.echo(f"{name:22}{counted(len(rows), 'row')}: {published.title}")
        click.echo(wrapped(f"{'':22}{published.source}"))


def _summary(rows: Table) -> str:
    """Say in a line what the rows are about."""
    from prunescope.table import configuration_codes

    if not len(rows):
        return ""
    configurations = int(configuration_codes(rows.columns).max()) + 1
    density = rows["density"]
    return (
        f"{counted(configurations, 'configuration')}, {_replicates(rows)}, "
        f"densities {density.max():g} to {density.min():.3g}"
    )


def _replicates(rows: Table) -> str:
    """Say how often each network was trained: ``3 replicates``, or ``3 to 246 replicates``."""
    import numpy as np

    from prunescope.table.coded import group_codes
    from prunescope.table.schema import CONFIGURATION

    alike = [name for name in (*CONFIGURATION, "treatment", "density") if name in rows]
    network = group_codes(rows.columns, alike)
    trained = np.zeros(int(group_codes(rows.columns, [*alike, "replicate"]).max()) + 1, np.int64)
    trained[group_codes(rows.columns, [*alike, "replicate"])] = network
    least, most = (int(extreme(np.bincount(trained))) for extreme in (np.min, np.max))
    return counted(most, "replicate") if least == most else f"{least:,} to {counted(most, 'replicate')}"


def _print_table(rows: Table, summary: str, limit: int, shorten: bool) -> None:
    import numpy as np

    from prunescope.cli.printing import hung, print_table
    from prunescope.table import shown
    from prunescope.table.coded import Columns

    heading = f"{counted(len(rows), 'row')} from {printable(rows.source)}{f': {summary}' if summary else ''}"
    click.echo(hung(heading, indent="    "))
    if not len(rows):
        return
    columns = Columns.of(rows.columns)
    constant = [name for name in rows.names if shorten and len(rows) > 1 and columns.column(name).is_constant]
    words = [
        f"{name} {shown(value)}"
        for name in constant
        if (value := rows[name][:1].tolist()[0]) is not None and value == value
    ]
    if words:
        click.echo(hung(printable(", ".join(words)), "in every row: ", "    "))
    varied = [name for name in rows.names if name not in constant] or list(rows.names)
    click.echo()
    print_table(rows.select(varied).take(np.arange(min(limit, len(rows)))).columns)
    if len(rows) > limit:
        click.echo(f"... and {len(rows) - limit:,} more; --limit N shows more, --out FILE writes all")
