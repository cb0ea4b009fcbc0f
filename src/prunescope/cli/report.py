"""``prunescope report``: words and figures in one page that opens offline, and figures as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from prunescope.cli.options import BOUND, COUNT, PICK_BY, SHARE, reading, shaped
from prunescope.cli.printing import note
from prunescope.errors import counted


@click.command()
@click.argument("source", metavar="TABLE")
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="Where to write the page.",
)
@click.option("--max-error", type=BOUND, metavar="K", help="The error bound of the choice [1.25 times the lowest].")
@click.option("--confidence", type=SHARE, default=0.9, show_default=True, help="Probability of meeting the bound.")
@COUNT
@PICK_BY
@click.option("--lens", metavar="STORE", help="Another store for the lens.")
@click.option("--where", multiple=True, help="Keep rows that meet this SQL condition. Repeatable.")
@click.option(
    "--figures", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Also write the figures there."
)
@click.option("--format", "form", type=click.Choice(["png", "svg", "pdf"]), default="svg", show_default=True,
              help="Format of these figures.")  # fmt: skip
@click.option("--draws", type=click.IntRange(0), default=10, show_default=True,
              help="Draws of each size to test how many measurements suffice; 0 skips that.")  # fmt: skip
@reading
def report(
    source: str,
    out: Path,
    max_error: float | None,
    confidence: float,
    count: str,
    pick_by: str | None,
    lens: str | None,
    where: Sequence[str],
    figures: Path | None,
    form: str,
    draws: int,
    reading: dict[str, Any],
) -> None:
    """Write figures and answers as one offline HTML page.

    The answers come first, then figures with their numbers, the table, and its provenance. Missing figures are listed
    with what they need.
    """
    from prunescope.report import report as made
    from prunescope.report import write_figures, write_page
    from prunescope.report.writing import need_drawing

    need_drawing()
    condition = " and ".join(f"({term})" for term in where)
    result = made(
        shaped(source, reading),
        where=condition,
        lens=lens,
        max_error=max_error,
        confidence=confidence,
        draws=draws,
        count=count,
        pick_by=pick_by,
    )
    for words in (*result.notes, *result.missing):
        note(words)
    write_page(result, out)
    click.echo(f"wrote {out}")
    if figures is not None:
        click.echo(f"wrote {counted(len(write_figures(result, figures, form)), 'figure')} to {figures}")
