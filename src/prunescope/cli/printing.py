"""Printing for people and for programs: wrapped lines, JSON, times and sizes."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import click

from prunescope.errors import listed, printable


def tell(title: str, words: str) -> None:
    """Print a line with a title before it, wrapped to the terminal."""
    click.echo(hung(printable(words), f"  {title:12}"))


# What stands before the words of a line: a mark, or a name with a gap after it.
_HEAD = re.compile(r"\s*(?:! |- |\S+(?: \S+)*?  +)?")


def wrapped(line: str) -> str:
    """Wrap a line at the terminal's width, further lines under its words; rows of a table stay as they are."""
    if len(re.findall(r"\S  +", line)) > 1:
        return line
    head = _HEAD.match(line)
    start = head.end() if head else 0
    return hung(line[start:], line[:start])


def terminal_width() -> int:
    """Return how many letters a line may have."""
    return max(40, min(120, shutil.get_terminal_size().columns))


def hung(words: str, head: str = "", indent: str | None = None) -> str:
    """Wrap words after a head at the terminal's width, further lines under the words or as far in as is said."""
    width = terminal_width()
    further = " " * len(head) if indent is None else indent
    if len(further) > width // 2 + 8:  # no room beside the head
        further = "    "
    return textwrap.fill(
        words, width, initial_indent=head, subsequent_indent=further, break_long_words=False, break_on_hyphens=False
    )


def _table_width() -> int | None:
    """Return how many letters a table may have: what COLUMNS says, or the terminal; None where a program reads it."""
    if (asked := os.environ.get("COLUMNS", "")).isdigit() and int(asked) > 0:
        return int(asked)
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table_lines(
    columns: Mapping[str, Iterable[Any]], indent: int = 0, width: int | None = 0, keys: int = 1
) -> list[str]:
    """Write columns as lines of text under their names, numbers to the right.

    Where they are too wide for the terminal, words wrap within their column; where that is not enough, columns go on
    below, beside the first ones again.

    Parameters
    ----------
    columns
        Cells by the column's name, which says the unit. Numbers are written short, other values as they are.
    width
        Letters of a line; None: as many as are needed; 0: as many as `_table_width` says.
    keys
        The first columns that name a row.
    """
    if width == 0:
        width = _table_width()
    cells = {printable(name): _cells(values) for name, values in columns.items()}
    # What wraps must have room for its longest word.
    natural = {name: max(map(len, (name, *words))) for name, (words, _) in cells.items()}
    least = {name: _least(name, words, natural[name]) for name, (words, _) in cells.items()}
    room = sum(natural.values()) + 2 * len(natural) if width is None else max(width, 40) - indent
    lines: list[str] = []
    for block in _blocks(list(cells), least, room, keys):
        lines += ["", *_drawn(block, cells, room)] if lines else _drawn(block, cells, room)
    return [f"{' ' * indent}{line}".rstrip() for line in lines]


def print_table(columns: Mapping[str, Iterable[Any]], indent: int = 0, keys: int = 1) -> None:
    """Print columns as a table that keeps to the terminal."""
    click.echo("\n".join(table_lines(columns, indent, keys=keys)))


# Letters that a wrapped column of words keeps at least, and those of a cell of its own kind at most.
LEAST_WORDS, MOST_LETTERS = 14, 60


def _cells(values: Iterable[Any]) -> tuple[list[str], bool]:
    """Return the words of a column's cells, and whether they are flush right."""
    from prunescope.table import shown

    plain = [value.item() if hasattr(value, "item") else value for value in values]
    words = [printable(shown(None if value != value else value)) for value in plain]
    words = [word if len(word) <= MOST_LETTERS or " " in word else f"{word[: MOST_LETTERS - 1]}…" for word in words]
    return words, bool(words) and all(_NUMBER.fullmatch(word) for word in words if word) and any(words)


# A number, with a unit or another number after it.
_NUMBER = re.compile(r"[-+]?[\d.,]+(?:e[-+]?\d+)?(?: ?[%x]| times| [kMGT]?B| m?s| min| h)?|none|-|nan")


def _least(name: str, words: Sequence[str], natural: int) -> int:
    longest = max((len(part) for cell in (name, *words) for part in cell.split()), default=1)
    return min(natural, max(longest, LEAST_WORDS if any(" " in cell for cell in words) else 1))


def _blocks(names: list[str], least: Mapping[str, int], room: int, keys: int) -> Iterator[list[str]]:
    """Yield the columns that stand beside each other; further ones begin with those that name a row again."""
    first, block = names[:keys], list[str]()
    for name in names:
        if len(block) > len(first) and sum(least[part] + 2 for part in (*block, name)) - 2 > room:
            yield block
            block = list(first)
        block.append(name)
    yield block


def _drawn(names: Sequence[str], cells: Mapping[str, tuple[list[str], bool]], room: int) -> list[str]:
    """Draw columns with rich."""
    from io import StringIO

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for name in names:
        words, right = cells[name]
        wraps = any(" " in word for word in words) and not right
        least = _least(name, words, max(map(len, (name, *words))))
        table.add_column(
            Text(name), justify="right" if right else "left", no_wrap=not wraps and " " not in name, min_width=least
        )
    for row in zip(*(cells[name][0] for name in names), strict=True):
        table.add_row(*map(Text, row))
    stream = StringIO()
    Console(file=stream, width=room, color_system=None, legacy_windows=False).print(table)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def print_json(content: object) -> None:
    """Print content as JSON."""
    click.echo(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))


def note(words: str) -> None:
    """Print a remark beside the results."""
    click.echo(f"note: {printable(words)}", err=True)


def code_words(paths: Sequence[str]) -> str:
    """Say that a study runs the code that it names."""
    return f"running this study runs code that it names: {listed(paths)}"


class ProgressCallback(Protocol):
    """Told how much is done, and of how much."""

    def __call__(self, done: int, total: int) -> None:
        """Take note of it."""


@contextmanager
def counting(words: str) -> Iterator[ProgressCallback]:
    """Count up on one line of a terminal while work goes on; nothing is written anywhere else."""
    shown = sys.stderr.isatty()

    def step(done: int, total: int) -> None:
        if shown and total > 1:
            click.echo(f"\r{words}: {done:,} of {total:,} ", err=True, nl=False)

    try:
        yield step
    finally:
        if shown:
            click.echo(f"\r{' ' * 70}\r", err=True, nl=False)


def spelled(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 99.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours = seconds / 3600
    if hours < 72:
        return f"{hours:.0f} h"
    days = hours / 24
    return f"{days:.0f} days" if days < 1000 else f"{days / 365:.0f} years"


def spelled_bytes(count: float) -> str:
    """Return an amount of memory as people say it."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if count >= 9.95 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
