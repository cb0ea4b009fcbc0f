"""Files that are whole or absent, and never change: how everything in a store reaches the disk.

A file is drafted under `drafts/`, flushed, and then linked to its place, which fails if something stands there. Its
name holds the SHA-256 of its content, so damage is noticed and equal files are one file. A crash leaves drafts at
worst.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from prunescope.errors import DamageError, unwritable
from prunescope.files import open_to_all

HASH_LENGTH = 40
STALE_SECONDS = 24 * 3600.0
_FLUSHES = 8


def _content_hash(content: bytes) -> str:
    """Return the hexadecimal digits that a file with this content carries in its name."""
    return hashlib.sha256(content).hexdigest()[:HASH_LENGTH]


def file_hash(path: Path) -> str:
    """Return the same of a file, read in parts."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:HASH_LENGTH]


@contextmanager
def writing(store: Path) -> Iterator[None]:
    """Turn what keeps a store from being written to into words that name the store."""
    try:
        yield
    except OSError as trouble:
        raise unwritable(store, trouble) from None


def new_draft(store: Path, suffix: str, content: bytes = b"") -> Path:
    """Return the path of a new file under ``drafts/``."""
    folder = store / "drafts"
    draft = None
    try:
        with writing(store):
            folder.mkdir(exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f"{os.getpid()}-", suffix=suffix, dir=folder)
            draft = Path(name)
            with os.fdopen(handle, "wb") as opened:
                opened.write(content)
    except BaseException:
        if draft is not None:
            draft.unlink(missing_ok=True)
        raise
    return draft


def publish(store: Path, draft: Path, target: Path) -> None:
    """Flush a draft and give it its place; where its like stands there already, that stays. The draft is gone after."""
    publish_all(store, [(draft, target)])


def publish_all(store: Path, files: Sequence[tuple[Path, Path]], mend: bool = False) -> None:
    """Publish many drafts, each to its target; when this returns, all of them are on the disk.

    Each file for itself is whole or absent; that some are there before others nobody may build on.

    Parameters
    ----------
    mend
        Let a draft take the place of a damaged file of its name, which is an error otherwise.
    """
    try:
        with writing(store):
            for draft, _ in files:
                open_to_all(draft)
            _flush([draft for draft, _ in files])
            folders = dict.fromkeys(target.parent for _, target in files)
            new = [folder for folder in folders if not folder.is_dir()]
            for folder in new:
                folder.mkdir(parents=True, exist_ok=True)
            placed = [target for draft, target in files if _place(draft, target, mend)]
            parents = [*(folder.parent for folder in new), *(target.parent for target in placed)]
            _flush([*dict.fromkeys(parents)])
    finally:
        for draft, _ in files:
            draft.unlink(missing_ok=True)


def _place(draft: Path, target: Path, mend: bool) -> bool:
    """Give a draft its place; return False where its like stood there already."""
    try:
        os.link(draft, target)
    except OSError:
        # Names hold hashes, so what stands there is the same, unless it was damaged.
        if target.exists():
            if is_sound(target):
                return False
            if not mend:
                verified(target)
        # Its content, or a file system without hard links: replacing puts the right bytes there.
        draft.replace(target)
    return True


def publish_bytes(store: Path, folder: Path, stem: str, suffix: str, content: bytes, mend: bool = False) -> Path:
    """Write content to ``folder/stem.<hash>suffix``, unless it is there; return that path."""
    target = folder / published_name(stem, suffix, content)
    if not (is_own(target) and is_sound(target)):
        publish_all(store, [(new_draft(store, suffix, content), target)], mend)
    return target


def published_name(stem: str, suffix: str, content: bytes) -> str:
    """Return the name that content is published under."""
    return f"{stem}.{_content_hash(content)}{suffix}"


def verified(path: Path) -> bytes:
    """Return a file's content after checking it against the hash in its name."""
    content = path.read_bytes()
    _refuse_other(path, _content_hash(content))
    return content


def verify(path: Path) -> None:
    """Check a file's content against the hash in its name."""
    _refuse_other(path, file_hash(path))


def _refuse_other(path: Path, kind: str) -> None:
    if path.name.split(".")[-2] != kind:
        raise DamageError(
            f"{path} is damaged: its content is not what was written. Restore it from a copy or delete it."
        )


def is_sound(path: Path) -> bool:
    """Whether a file's content is what its name says."""
    try:
        verified(path)
    except DamageError:
        return False
    return True


def is_own(path: Path) -> bool:
    """Whether a path is an ordinary file, which links, pipes and folders are not."""
    return path.is_file() and not path.is_symlink()


def sweep(store: Path) -> None:
    """Delete drafts that a crash left behind, a day after."""
    for draft in (store / "drafts").glob("*-*"):
        try:
            if time.time() - draft.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(draft) if draft.is_dir() else draft.unlink()
        except OSError:
            continue


def _flush(paths: Sequence[Path]) -> None:
    """Wait until files or folders are on the disk.

    What is asked for at once a file system commits at once: 100 files take a twentieth of the time that they take one
    after another (ext4, 8 threads).
    """
    if len(paths) < 2:
        _flush_each(paths)
        return
    with ThreadPoolExecutor(min(_FLUSHES, len(paths))) as pool:
        deque(pool.map(_flush_each, [paths[first::_FLUSHES] for first in range(_FLUSHES)]), maxlen=0)


def _flush_each(paths: Sequence[Path]) -> None:
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
