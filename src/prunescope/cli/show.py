"""Printing for people and for programs: wrapped lines, JSON."""

from __future__ import annotations

import json
import shutil
import textwrap

import click

from prunescope.errors import printable


def tell(title: str, words: str) -> None:
    """Print a line with a title before it, wrapped to the terminal."""
    width = min(120, shutil.get_terminal_size().columns)
    click.echo(textwrap.fill(printable(words), width, initial_indent=f"  {title:12}", subsequent_indent=" " * 14))


def print_json(content: object) -> None:
    """Print content as JSON."""
    click.echo(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))
