"""``prunescope report``: words and figures in one page that opens offline, and figures as files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from prunescope.cli.options import BOUND, COUNT, PICK_BY, SHARE, WHERE, reading, shaped
from prunescope.cli.printing import counting, note
from prunescope.errors import counted

# Points of a length's units.
UNITS = {"in": 72.0, "cm": 72 / 2.54, "mm": 72 / 25.4, "pt": 1.0}


def _points(context: click.Context, parameter: click.Parameter, length: str | None) -> float | None:
    """Return a length such as ``5.5in`` in points."""
    if length is None:
        return None
    match = re.fullmatch(r"\s*(\d*\.?\d+)\s*(in|cm|mm|pt)\s*", length)
    if match is None:
        raise click.BadParameter(f"must be a number with in, cm, mm or pt, such as 5.5in; got {length!r}")
    return float(match[1]) * UNITS[match[2]]


def _formats(context: click.Context, parameter: click.Parameter, words: str) -> tuple[str, ...]:
    """Return the formats of a list with commas: an unknown one is refused before anything is computed."""
    from prunescope.report.writing import format_faults

    names = tuple(name.strip() for name in words.split(",") if name.strip())
    if faults := format_faults(names):
        raise click.BadParameter(f"{faults[0].must}; got {faults[0].found}. {faults[0].hint}".rstrip())
    return names


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
@WHERE
@click.option(
    "--figures", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Also write the figures there."
)
@click.option("--format", "forms", default="svg", callback=_formats, show_default=True, metavar="LIST",
              help="Formats of these figures: svg, png, pdf, tex, json.")  # fmt: skip
@click.option("--width", callback=_points, metavar="LENGTH", help="Width of these figures in print: 5.5in, 14cm.")
@click.option("--font-size", type=click.FloatRange(4, 40), metavar="POINTS", help="Size of their labels in print.")
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
    forms: tuple[str, ...],
    width: float | None,
    font_size: float | None,
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
    with counting("laws and chapters") as step:
        result = made(
            shaped(source, reading, where),
            where=condition,
            lens=lens,
            max_error=max_error,
            confidence=confidence,
            draws=draws,
            count=count,
            pick_by=pick_by,
            progress=step,
        )
    for words in (*result.notes, *result.missing):
        note(words)
    write_page(result, out)
    click.echo(f"wrote {out}")
    if figures is not None:
        with counting("figures") as step:
            files = write_figures(result, figures, forms, width=width, font_size=font_size, progress=step)
        click.echo(f"wrote {counted(len({file.stem for file in files}), 'figure')} to {figures}")
