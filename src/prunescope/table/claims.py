"""Which process works on which ladders: advisory locks that end with their process, however it ends.

    claims/<pid>-<random>.lock    what one process works on, one name a line; locked for as long as it does
    claims/turn                   locked by whoever claims, for that moment

Names that are claimed together stand in one file, so that thousands of ladders take one descriptor. The operating
system takes locks back with their process; the file that a crash leaves is deleted by whoever claims next. A claim
saves work done twice; nothing breaks without it. Where a file system has no locks, every claim is granted.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prunescope.files import open_to_all
from prunescope.table.durable import new_draft, writing

# A lock belongs to an open file, and a forked child has its parent's files open. It closes them, or claims would
# outlive their holder in its data loaders.
_held: set[int] = set()
_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)


@contextmanager
def claimed(store: Path, names: Iterable[str]) -> Iterator[frozenset[str]]:
    """Claim names for as long as the block runs; the value says which of them were free."""
    wanted = frozenset(names)
    free, file = _claim(store, wanted)
    try:
        yield free
    finally:
        if file is not None and file[0] in _held:  # a child of a fork has closed its copy, and the file is not its own
            file[1].unlink(missing_ok=True)
            _release(file[0])


def claims(store: Path) -> frozenset[str]:
    """Return what living processes claim now; nothing where the file system has no locks."""
    names: set[str] = set()
    for path in (store / "claims").glob("*.lock"):
        with suppress(OSError):
            names |= _claimed_in(path) or set()
    return frozenset(names)


def has_locks(store: Path) -> bool:
    """Whether the file system of a store has locks."""
    try:
        handle = os.open(store / "store.json", os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    with os.fdopen(handle, "rb"):
        try:
            return _lock(handle, shared=True) is not None
        except OSError:
            return False


def _claim(store: Path, wanted: frozenset[str]) -> tuple[frozenset[str], tuple[int, Path] | None]:
    """Return which names are free, and the locked file that claims them from now on, open, with its path."""
    folder = store / "claims"
    with writing(store):
        folder.mkdir(exist_ok=True)
        turn = os.open(folder / "turn", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    _held.add(turn)
    try:
        if _lock(turn, wait=True) is None:
            return wanted, None
        taken: set[str] = set()
        for path in sorted(folder.glob("*.lock")):
            names = _claimed_in(path)
            if names is None:
                with suppress(OSError):
                    path.unlink(missing_ok=True)
            else:
                taken |= names
        free = wanted - taken
        return free, _write(store, free) if free else None
    finally:
        _release(turn)


def _write(store: Path, names: frozenset[str]) -> tuple[int, Path]:
    """Put a locked file with names among the claims; nobody sees it before it is locked."""
    draft = new_draft(store, ".lock", "".join(f"{name}\n" for name in sorted(names)).encode())
    path = store / "claims" / draft.name
    try:
        with writing(store):
            open_to_all(draft)
            handle = os.open(draft, os.O_RDWR)
            _held.add(handle)
            _lock(handle)
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return handle, path


def _claimed_in(path: Path) -> set[str] | None:
    """Return the names in a file of claims; None where no living process is known to hold it."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return set()  # released since it was listed
    with os.fdopen(handle, "rb") as opened:
        if _lock(handle, shared=True) is not False:
            return None
        return set(opened.read().decode(errors="replace").split("\n")) - {""}


def _lock(handle: int, shared: bool = False, wait: bool = False) -> bool | None:
    """Lock an open file; return whether it was free, None where the file system has no locks."""
    import fcntl

    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    try:
        fcntl.flock(handle, how)
    except BlockingIOError:
        return False
    except OSError as trouble:
        if trouble.errno in _WITHOUT_LOCKS:
            return None
        raise
    return True


def _release(handle: int) -> None:
    """Let a lock go, also where a process that is just being started still has the file open."""
    import fcntl

    if handle in _held:
        _held.discard(handle)
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)


def _close_in_child() -> None:
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_close_in_child)
