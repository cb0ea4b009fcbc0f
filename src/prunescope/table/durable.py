"""Files that are whole or absent, and never change: how everything in a store reaches the disk.

A file is drafted under `drafts/`, flushed, and then linked to its place, which fails if something stands there. Its
name holds the SHA-256 of its content, so damage is noticed and equal files are one file. A crash leaves drafts at
worst.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from pathlib import Path

from prunescope.errors import DamageError
from prunescope.files import open_to_all

HASH_LENGTH = 40
_STALE_SECONDS = 24 * 3600.0


def content_hash(content: bytes) -> str:
    """Return the hexadecimal digits that a file with this content carries in its name."""
    return hashlib.sha256(content).hexdigest()[:HASH_LENGTH]


def new_draft(store: Path, suffix: str) -> Path:
    """Return the path of a new empty file under ``drafts/``."""
    folder = store / "drafts"
    folder.mkdir(exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f"{os.getpid()}-", suffix=suffix, dir=folder)
    os.close(handle)
    return Path(name)


def publish(draft: Path, target: Path) -> bool:
    """Flush a draft and give it its place; return False where its like stood there already. The draft is gone after."""
    try:
        open_to_all(draft)
        _flush(draft)
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            _flush(target.parent.parent)
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
    finally:
        draft.unlink(missing_ok=True)
    _flush(target.parent)
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
    if path.name.split(".")[-2] != content_hash(content):
        raise DamageError(
            f"{path} is damaged: its content is not what was written. Restore it from a copy or delete it."
        )
    return content


def is_own(path: Path) -> bool:
    """Whether a path is an ordinary file, which links, pipes and folders are not."""
    return path.is_file() and not path.is_symlink()


def sweep(store: Path) -> None:
    """Delete drafts that a crash left behind, a day after."""
    for draft in (store / "drafts").glob("*-*"):
        try:
            if time.time() - draft.stat().st_mtime > _STALE_SECONDS:
                draft.unlink()
        except OSError:
            continue


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
