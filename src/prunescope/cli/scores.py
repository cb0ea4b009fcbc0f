"""``prunescope scores``: the training examples of a store, to take away."""

from __future__ import annotations

from typing import Any

import click

from prunescope.cli.options import JSON, SHARE
from prunescope.cli.printing import note, print_table
from prunescope.errors import counted, printable

# Rows that are shown where no file is named.
SHOWN = 20


@click.command()
@click.argument("source", metavar="STORE")
@click.option("-o", "--out", metavar="FILE", help="Write all rows: .parquet, .csv or .json.")
@click.option("--noise", type=SHARE, multiple=True, metavar="SHARE", help="A level of label noise. Repeatable.")
@click.option("--treatment", metavar="NAME", help="The treatment whose sparse networks are taken, 'imp weights'.")
@click.option("--rung", type=click.IntRange(1), help="The sparse rung [the optimal one].")
@click.option("--density", type=SHARE, help="The same, by the nearest density.")
@JSON
def scores(source: str, out: str | None, as_json: bool, **question: Any) -> None:
    """Write scores and losses of training examples.

    One row for each example and replicate: EL2N, training loss in the dense and the sparse network, and how suspicious
    its label is. Without a file, the most suspicious labels are shown. The study must keep outcomes on examples.
    """
    import numpy as np

    from prunescope.lens import example_scores
    from prunescope.table import json_parts, write_table

    rows = example_scores(source, **question)
    if out is not None:
        write_table(rows, out)
        note(f"wrote {counted(len(rows), 'row')} to {out}")
    elif as_json:
        for text in (*json_parts(rows), "\n"):
            click.echo(text, nl=False)
    else:
        order = np.lexsort((rows["index"], -rows["suspicion"]))[:SHOWN]
        varied = [name for name in rows.names if len(set(rows[name].tolist())) > 1]
        click.echo(printable(f"the most suspicious of {counted(len(rows), 'label')}; -o FILE writes all"))
        print_table(rows.select(varied).take(order).columns)
