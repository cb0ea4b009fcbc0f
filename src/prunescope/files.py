"""Files that users name, written whole or not at all: what stood there before is replaced at the end."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prunescope.errors import Fault, InputError, PrunescopeError


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a draft to write to, which takes the target's place when the block ends without an error."""
    if target.is_dir():
        raise InputError(str(target), [Fault("the file", "must not be a folder")])
    try:
        handle, name = tempfile.mkstemp(prefix=".prunescope-", suffix=target.suffix, dir=target.parent)
    except OSError as trouble:
        raise PrunescopeError(f"{target} cannot be written: {trouble.strerror}") from None
    os.close(handle)
    draft = Path(name)
    try:
        yield draft
        open_to_all(draft)
        draft.replace(target)
    except OSError as trouble:
        raise PrunescopeError(f"{target} cannot be written: {trouble.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)


def open_to_all(path: Path) -> None:
    """Give a temporary file, which only its owner may read, the permissions of an ordinary new one."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)
