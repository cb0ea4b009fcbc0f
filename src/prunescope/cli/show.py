"""Printing for people and for programs: columns, wrapped lines, JSON; strangers' text made harmless."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Sequence

import click


def print_columns(names: Sequence[str], lines: Sequence[Sequence[str]], right: Sequence[bool]) -> None:
    """Print columns of text as wide as they need, 32 letters at most."""
    cut = [[safe(cell if len(cell) <= 32 else f"{cell[:31]}…") for cell in line] for line in (names, *lines)]
    widths = [max(len(line[position]) for line in cut) for position in range(len(names))]
    for line in cut:
        cells = [
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(line, widths, right, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())


def tell(title: str, words: str) -> None:
    """Print a line with a title before it, wrapped to the terminal."""
    width = min(120, shutil.get_terminal_size().columns)
    click.echo(textwrap.fill(safe(words), width, initial_indent=f"  {title:12}", subsequent_indent=" " * 14))


def print_json(content: object) -> None:
    """Print content as JSON."""
    click.echo(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))


def safe(text: str) -> str:
    """Keep a file's own text from steering the terminal."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)
