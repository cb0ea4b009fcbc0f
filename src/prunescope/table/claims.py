"""Which process works on which ladder: advisory locks that end with their process, however it ends.

The operating system takes them back, so a crash leaves none behind. A claim saves work done twice; nothing breaks
without it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def claimed(store: Path, name: str) -> Iterator[bool]:
    """Claim something for as long as the block runs; the value says whether it was free."""
    import fcntl

    folder = store / "claims"
    folder.mkdir(exist_ok=True)
    handle = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def claims(store: Path) -> frozenset[str]:
    """Return what living processes claim now."""
    import fcntl

    held = set()
    for path in (store / "claims").glob("*.lock"):
        try:
            handle = os.open(path, os.O_RDWR)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            held.add(path.stem)
        finally:
            os.close(handle)
    return frozenset(held)
