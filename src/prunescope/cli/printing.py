"""Printing for people and for programs: wrapped lines, JSON, times and sizes."""

from __future__ import annotations

import json
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
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


def table_lines(columns: Mapping[str, Sequence[Any]]) -> list[str]:
    """Write columns as lines of text under their names; `prunescope.table.aligned` does the same for a table."""
    import numpy as np

    from prunescope.table import Table, aligned

    return aligned(Table({name: np.array(values, dtype=object) for name, values in columns.items()}))


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
