"""``prunescope report``: words and figures in one page that opens offline, and figures as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from prunescope.cli.options import SHARE
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
    help="The page.",
)
@click.option(
    "--max-error", type=SHARE, metavar="K", help="The error that the choice is about [1.25 times the lowest]."
)
@click.option("--confidence", type=SHARE, default=0.9, show_default=True, help="How surely the bound shall be kept.")
@click.option("--lens", metavar="STORE", help="What the lens looks at, where that is another store.")
@click.option("--where", multiple=True, help="Condition in SQL that rows must fulfil. May be repeated.")
@click.option(
    "--figures", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Write figures there, too."
)
@click.option("--format", "form", type=click.Choice(["png", "svg", "pdf"]), default="svg", show_default=True,
              help="What figures are written as.")  # fmt: skip
@click.option("--draws", type=click.IntRange(0), default=10, show_default=True,
              help="Draws of each size, to see how many measurements are enough; 0 leaves that out.")  # fmt: skip
def report(
    source: str,
    out: Path,
    max_error: float | None,
    confidence: float,
    lens: str | None,
    where: Sequence[str],
    figures: Path | None,
    form: str,
    draws: int,
) -> None:
    """Write what a TABLE has to say as one page that opens without a network.

    Answers in words come first, then figures with the numbers behind them, the table, and where it all comes from.
    What cannot be shown is named, with what would mend it.
    """
    from prunescope.report import report as made
    from prunescope.report import write_figures, write_page
    from prunescope.report.writing import need_drawing

    need_drawing()
    condition = " and ".join(f"({term})" for term in where)
    result = made(source, where=condition, lens=lens, max_error=max_error, confidence=confidence, draws=draws)
    for words in (*result.notes, *result.missing):
        note(words)
    write_page(result, out)
    click.echo(f"wrote {out}")
    if figures is not None:
        click.echo(f"wrote {counted(len(write_figures(result, figures, form)), 'figure')} to {figures}")
