"""Which process works on which ladder: advisory locks that end with their process, however it ends.

The operating system takes them back, so a crash leaves none behind. A claim saves work done twice; nothing breaks
without it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# A lock belongs to an open file, and a forked child has its parent's files open. It closes them, or claims would
# outlive their holder in its data loaders.
_held: set[int] = set()
_LOOKS = 10


@contextmanager
def claimed(store: Path, name: str) -> Iterator[bool]:
    """Claim something for as long as the block runs; the value says whether it was free."""
    folder = store / "claims"
    folder.mkdir(exist_ok=True)
    handle = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    _held.add(handle)
    try:
        yield _locked(handle)
    finally:
        if handle in _held:  # a child of a fork has closed its copy
            _held.discard(handle)
            os.close(handle)


def _locked(handle: int) -> bool:
    """Lock a file; try for a moment, since `claims` takes every free lock for an instant."""
    import fcntl

    for _ in range(_LOOKS):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.005)
        else:
            return True
    return False


def claims(store: Path) -> frozenset[str]:
    """Return what living processes claim now."""
    import fcntl

    held = set()
    for path in (store / "claims").glob("*.lock"):
        try:
            handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            held.add(path.stem)
        finally:
            os.close(handle)
    return frozenset(held)


def _close_in_child() -> None:
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_close_in_child)
