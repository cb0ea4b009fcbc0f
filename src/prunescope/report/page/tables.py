"""Tables that the page's script sorts, filters and copies: their heads and cells, in words and as numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prunescope.choose.counts import amount
from prunescope.laws.results import number, percent
from prunescope.report.chapters import NO_BREAK
from prunescope.report.figures.figure import SYMBOLS
from prunescope.report.overview import FamilyLine, Overview
from prunescope.table import Table

NOTHING = "\N{EN DASH}"
# Columns of the schema that hold hashes: a phone has no room for them.
HASHES = ("ladder", "recipe")


@dataclass(frozen=True)
class Head:
    """A column: its name, whether it sorts as numbers, whether a phone leaves it out, whether it says yes or no."""

    name: str
    numbers: bool = False
    wide: bool = False
    flag: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell: what it says, the number it sorts by, where it leads to, and further words that a filter finds."""

    words: str
    value: float | None = None
    link: str = ""
    more: str = ""


@dataclass(frozen=True)
class FamilyTable:
    """The table of all families; the first cell of a row is its name, and the first rows have chapters."""

    heads: tuple[Head, ...]
    rows: tuple[tuple[Cell, ...], ...]
    asked: str
    chapters: int


def row_heads(rows: Table, names: Sequence[str]) -> tuple[Head, ...]:
    """Return the heads of some columns of a table."""
    kinds = ((name, rows[name].dtype.kind) for name in names)
    return tuple(Head(name, kind in "fiu", name in HASHES, kind == "b") for name, kind in kinds)


def family_table(overview: Overview) -> FamilyTable:
    """Return the table of all families."""
    parameters = [
        name
        for name in SYMBOLS
        if any(name == identified for line in overview.lines for identified, _ in line.parameters)
    ]
    several = len(overview.bounds) > 1
    heads = (
        Head("family"),
        *((Head("asked for", True, True),) if several else ()),
        Head("train", wide=True),
        Head("prune to density", True),
        Head(f"{overview.noun} left", True),
        Head("sure", True, True),
        Head("times smaller", True, True),
        Head("sigma", True),
        *(Head(SYMBOLS[name], True, True) for name in parameters),
        Head("unpruned error", True, True),
        Head("points", True, True),
    )
    rows = tuple(tuple(_cells(line, parameters, several)) for line in overview.lines)
    return FamilyTable(heads, rows, _asked(overview), sum(line.chapter is not None for line in overview.lines))


def _asked(overview: Overview) -> str:
    bounds = " or ".join(f"{number(bound)} ({data})" if data else number(bound) for data, bound in overview.bounds)
    met = sum(line.pick is not None for line in overview.lines)
    confident = sum(line.choice.robust is not None for line in overview.lines)
    sure = f"{100 * overview.confidence:.0f}{NO_BREAK}%"
    return (
        f"Each of {len(overview.lines)} families is asked for an error of at most {bounds}: {met} have a network that "
        f"meets it by its expected error, {confident} of them one that is {sure} sure. Shown is the sure one where "
        "there is one, and how many times smaller it is than the smallest unpruned network that meets the bound."
    )


def _cells(line: FamilyLine, parameters: Sequence[str], several: bool) -> Iterator[Cell]:
    pick, choice = line.pick, line.choice
    yield Cell(line.name, link=f"#chapter-{line.chapter}" if line.chapter else "", more=line.whole_name)
    if several:
        yield _number(choice.max_error)
    if pick is None:
        yield Cell(re.split(r"[:;] |\. ", choice.why, maxsplit=1)[0])
        yield Cell("none")
        yield from [Cell(NOTHING)] * 3
    else:
        yield Cell(pick.name)
        yield _number(pick.density, f"{pick.density:.3g}")
        yield _number(pick.parameters, amount(pick.parameters))
        yield _number(pick.probability, f"{100 * pick.probability:.0f}{NO_BREAK}%")
        times = choice.times_smaller(pick)
        yield _number(times, None if times is None else f"{times:.3g}")
    yield _number(line.sigma, None if line.sigma is None else percent(line.sigma).replace(" ", NO_BREAK))
    values = dict(line.parameters)
    for name in parameters:
        yield _number(values.get(name))
    yield _number(line.unpruned)
    yield _number(line.points, f"{line.points:,}")


def _number(value: float | None, words: str | None = None) -> Cell:
    if value is None:
        return Cell(NOTHING)
    return Cell(number(value) if words is None else words, value)
