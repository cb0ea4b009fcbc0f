"""C libraries built by the machine's compiler, kept in the user's cache, loaded only where nobody else can change them.

The name of a library holds the SHA-256 of its content, so a damaged one is noticed, deleted and built again. Folder and
file must belong to the user and be writable by nobody else; where the folder is not so, a library is built in a folder
of its own that is deleted once it is loaded. A compiler that does not end is stopped, and left alone until it changes.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import signal
import stat
import subprocess
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

COMPILE_SECONDS = 60.0


def load_library(source: Path, flags: tuple[str, ...], seconds: float = COMPILE_SECONDS) -> ctypes.CDLL | None:
    """Return the library that `cc` makes of a source file, built where it is not kept; None where that fails.

    Parameters
    ----------
    flags
        What the compiler is given besides source and output.
    seconds
        After this long a compiler is stopped.
    """
    compiler = shutil.which("cc")
    if compiler is None or os.name != "posix":
        return None
    with suppress(OSError, subprocess.SubprocessError):
        command = [compiler, *flags, str(source)]
        kind = " ".join([*flags, platform.machine(), *platform.libc_ver()])
        stem = f"{source.stem}-{_digest(kind.encode() + source.read_bytes())}"
        folder = _kept_libraries()
        if folder is not None:
            return _kept(folder, stem) or _build(command, folder, stem, seconds)
        with tempfile.TemporaryDirectory(prefix="prunescope-") as passing:
            return _build(command, Path(passing), stem, seconds)
    return None


def _kept_libraries() -> Path | None:
    """Return the folder of kept libraries, made where it is missing; None where others may write to it."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "prunescope" / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError:
        return None
    return folder if stat.S_ISDIR(folder.lstat().st_mode) and _is_private(folder) else None


def _is_private(path: Path) -> bool:
    """Whether a path belongs to this user, and nobody else may write to it."""
    status = path.lstat()
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _kept(folder: Path, stem: str) -> ctypes.CDLL | None:
    """Load a kept library; delete what must not be loaded."""
    for path in folder.glob(f"{stem}.*.so"):
        if stat.S_ISREG(path.lstat().st_mode) and _is_private(path):
            content = path.read_bytes()
            if path.name == f"{stem}.{_digest(content)}.so":
                with suppress(OSError):
                    return ctypes.CDLL(str(path))
        path.unlink(missing_ok=True)
    return None


def _build(command: list[str], folder: Path, stem: str, seconds: float) -> ctypes.CDLL:
    """Build a library and load it; it is given its name when it is whole and on the disk."""
    compiler = Path(command[0]).stat()
    hung = folder / f"{stem}.{_digest(f'{command[0]} {compiler.st_size} {compiler.st_mtime_ns}'.encode())}.hung"
    if hung.exists():
        raise subprocess.TimeoutExpired(command, seconds)
    handle, name = tempfile.mkstemp(prefix=".draft-", suffix=".so", dir=folder)
    os.close(handle)
    draft = Path(name)
    try:
        try:
            _compile([*command, "-o", name], seconds)
        except subprocess.TimeoutExpired:
            hung.touch(mode=0o600)
            raise
        draft.chmod(0o700)
        with draft.open("rb") as written:
            os.fsync(written.fileno())
            target = folder / f"{stem}.{_digest(written.read())}.so"
        library = ctypes.CDLL(name)
        draft.replace(target)
        return library
    finally:
        draft.unlink(missing_ok=True)


def _compile(command: list[str], seconds: float) -> None:
    """Run a compiler; stop it and all that it started after some seconds."""
    with subprocess.Popen(  # noqa: S603 - the user's own compiler
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            code = process.wait(seconds)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if code:
        raise subprocess.CalledProcessError(code, command)


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()[:32]
