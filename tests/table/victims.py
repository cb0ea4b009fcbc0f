"""What runs in processes that tests start and kill: writers and packers of a store."""

from __future__ import annotations

import os
from pathlib import Path

from prunescope.table import Store
from tests.builders import rung

LADDER = 20  # rungs on a test ladder


def write(store: Path, report: Path, first: int, count: int) -> None:
    """Write rungs one by one; after each, report in one append what is now on the disk."""
    opened = Store(store)
    handle = os.open(report, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for position in range(first, first + count):
        ladder, number = divmod(position, LADDER)
        opened.write([rung(ladder, number)])
        os.write(handle, f"{position}\n".encode())


def pack_forever(store: Path) -> None:
    """Pack until killed."""
    opened = Store(store)
    while True:
        opened.shards.pack()


def pack_once(store: Path, ready: Path) -> None:
    """Pack once, after telling that the interpreter is up."""
    opened = Store(store)
    ready.touch()
    opened.shards.pack()
