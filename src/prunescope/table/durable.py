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
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from prunescope.errors import DamageError
from prunescope.files import open_to_all

HASH_LENGTH = 40
_STALE_SECONDS = 24 * 3600.0
_FLUSHES = 8


def content_hash(content: bytes) -> str:
    """Return the hexadecimal digits that a file with this content carries in its name."""
    return hashlib.sha256(content).hexdigest()[:HASH_LENGTH]


def file_hash(path: Path) -> str:
    """Return the same of a file, read in parts."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:HASH_LENGTH]


def new_draft(store: Path, suffix: str) -> Path:
    """Return the path of a new empty file under ``drafts/``."""
    folder = store / "drafts"
    folder.mkdir(exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f"{os.getpid()}-", suffix=suffix, dir=folder)
    os.close(handle)
    return Path(name)


def publish(draft: Path, target: Path) -> None:
    """Flush a draft and give it its place; where its like stands there already, that stays. The draft is gone after."""
    publish_all([(draft, target)])


def publish_all(files: Sequence[tuple[Path, Path]]) -> None:
    """Publish many drafts, each to its target; when this returns, all of them are on the disk.

    Each file for itself is whole or absent; that some are there before others nobody may build on.
    """
    try:
        for draft, _ in files:
            open_to_all(draft)
        _flush([draft for draft, _ in files])
        folders = dict.fromkeys(target.parent for _, target in files)
        new = [folder for folder in folders if not folder.is_dir()]
        for folder in new:
            folder.mkdir(parents=True, exist_ok=True)
        placed = [target for draft, target in files if _place(draft, target)]
        _flush([*dict.fromkeys(folder.parent for folder in new), *dict.fromkeys(target.parent for target in placed)])
    finally:
        for draft, _ in files:
            draft.unlink(missing_ok=True)


def _place(draft: Path, target: Path) -> bool:
    """Give a draft its place; return False where its like stood there already."""
    try:
        os.link(draft, target)
    except FileExistsError:
        verified(target)  # names hold hashes, so what stands there is the same, unless it was damaged
        return False
    except OSError:
        # A file system without hard links: replacing puts the same bytes there.
        if target.exists():
            verified(target)
            return False
        draft.replace(target)
    return True


def publish_bytes(store: Path, folder: Path, stem: str, suffix: str, content: bytes) -> Path:
    """Write content to ``folder/stem.<hash>suffix``; return that path."""
    target = folder / published_name(stem, suffix, content)
    draft = new_draft(store, suffix)
    try:
        draft.write_bytes(content)
        publish(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    return target


def published_name(stem: str, suffix: str, content: bytes) -> str:
    """Return the name that content is published under."""
    return f"{stem}.{content_hash(content)}{suffix}"


def verified(path: Path) -> bytes:
    """Return a file's content after checking it against the hash in its name."""
    content = path.read_bytes()
    _refuse_other(path, content_hash(content))
    return content


def verify(path: Path) -> None:
    """Check a file's content against the hash in its name."""
    _refuse_other(path, file_hash(path))


def _refuse_other(path: Path, found: str) -> None:
    if path.name.split(".")[-2] != found:
        raise DamageError(
            f"{path} is damaged: its content is not what was written. Restore it from a copy or delete it."
        )


def is_own(path: Path) -> bool:
    """Whether a path is an ordinary file, which links, pipes and folders are not."""
    return path.is_file() and not path.is_symlink()


def sweep(store: Path) -> None:
    """Delete drafts that a crash left behind, a day after."""
    for draft in (store / "drafts").glob("*-*"):
        try:
            if time.time() - draft.stat().st_mtime > _STALE_SECONDS:
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
