"""A store's files in storage elsewhere, such as ``s3://bucket/digits``: pushed to and pulled from through fsspec.

Names carry the hashes of what is in the files, so a file that is there under its name need not travel, and nothing is
overwritten but what was cut short. A push sends what is missing there. A pull fetches what is missing here into a store
of its own first, and merges it, so that a stranger's rows are checked and contradictions set aside (`merge`).
"""

from __future__ import annotations

import os
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self

from prunescope.errors import DamageError, Fault, InputError, MissingPackageError, PrunescopeError, said
from prunescope.table.arrays import IDENTITY, ArrayKind
from prunescope.table.durable import new_draft, publish, published_name, verified
from prunescope.table.merge import FOLDERS, KEPT_NAME, kept_files, merge
from prunescope.table.store import MARK, Store

_FOLDERS = (*FOLDERS, "notes")
_AT_ONCE = 8  # transfers


@dataclass(frozen=True)
class Transfer:
    """What a push or a pull did.

    Attributes
    ----------
    files, size
        Files that travelled, and their bytes.
    there
        Files that were there already.
    rungs
        That the store has gained; none by a push.
    damaged
        Names of files elsewhere whose content is not what their name says; they were left out.
    """

    files: int
    size: int
    there: int
    rungs: int = 0
    damaged: tuple[str, ...] = ()


class Remote:
    """A place for a store's files.

    Parameters
    ----------
    url
        What fsspec understands: ``s3://bucket/folder``, ``gs://...``, ``file:///backup/mine``, a folder.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            words = "push and pull need fsspec: pip install 'prunescope[remote]'; for s3:// also s3fs, for gs:// gcsfs"
            raise MissingPackageError(words) from None
        try:
            self._files, root = url_to_fs(url)
        except ImportError as trouble:
            raise MissingPackageError(f"{url}: {trouble}") from None
        except ValueError as trouble:
            raise InputError(url, [Fault("the URL", "must be one that fsspec knows", str(trouble))]) from None
        self._root = str(root).rstrip("/")
        self._sizes: dict[str, int] | None = None

    def sizes(self) -> dict[str, int]:
        """Return the files of a store that are there, by their names, with their bytes; looked up once."""
        if self._sizes is None:
            with self._reaching():
                self._files.invalidate_cache()
                try:
                    entries = self._files.find(self._root, detail=True)
                except FileNotFoundError:
                    entries = {}
            names = {path[len(self._root) :].lstrip("/"): entry for path, entry in entries.items()}
            self._sizes = {name: int(entry["size"]) for name, entry in names.items() if _is_kept(name)}
        return self._sizes

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        with self._reaching():
            return bytes(self._files.cat_file(f"{self._root}/{name}"))

    def write(self, name: str, content: bytes) -> bool:
        """Create a file; return False where another has created it in the meantime."""
        path = f"{self._root}/{name}"
        short = self.sizes().get(name, len(content)) != len(content)
        with self._reaching():
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            try:
                if "file" in self._files.protocol and not short:
                    _create_here(Path(path), content)  # fsspec would look first and write then
                else:
                    self._files.pipe_file(path, content, mode="overwrite" if short else "create")
            except FileExistsError:
                return False
        self.sizes()[name] = len(content)
        return True

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Turn whatever a library raises about storage into words that name the place."""
        try:
            yield
        except (FileExistsError, PrunescopeError):
            raise
        except Exception as trouble:
            raise PrunescopeError(f"{self.url} cannot be reached: {said(trouble)}") from trouble


def _create_here(path: Path, content: bytes) -> None:
    """Create a file on a disk, whole or not at all; raise FileExistsError where there is one."""
    draft = path.with_name(f".{uuid.uuid4().hex}")
    try:
        with draft.open("xb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def push(store: Store, remote: Remote) -> Transfer:
    """Copy what is missing elsewhere; rows last, so that whoever finds a row finds what belongs to it.

    Raises
    ------
    DamageError
        Where a file here is not what was written; the others have been copied.
    """
    mark = (store.path / MARK).read_bytes()
    if (MARK in remote.sizes() or not remote.write(MARK, mark)) and remote.read(MARK) != mark:
        raise InputError(remote.url, [Fault(MARK, "must be that of a store of this format")])
    here = {path.as_posix(): store.path / path for path in kept_files(store.path, _FOLDERS)}
    there = remote.sizes()
    missing = [name for name, path in here.items() if there.get(name) != path.stat().st_size]
    sent, damaged = [0], list[str]()

    def send(name: str) -> None:
        try:
            content = verified(here[name])
        except FileNotFoundError:
            return  # packed since it was listed
        except DamageError as trouble:
            damaged.append(str(trouble))
            return
        if remote.write(name, content):
            sent.append(len(content))

    rows = [name for name in missing if name.startswith("rungs/")]
    _at_once(send, [name for name in missing if name not in set(rows)])
    _at_once(send, rows)
    if damaged:
        raise DamageError("\n".join(damaged))
    return Transfer(len(sent) - 1, sum(sent), len(here) - len(missing))


def pull(store: Store, remote: Remote) -> Transfer:
    """Fetch what is missing here, check it, and merge it."""
    if MARK not in remote.sizes():
        raise InputError(remote.url, [Fault(MARK, "must be there: this is no store")])
    names = [name for name in remote.sizes() if name != MARK]
    missing = [name for name in names if not (store.path / name).exists()]
    if not missing:
        return Transfer(0, 0, len(names))
    damaged, fetched = list[str](), [0]
    with tempfile.TemporaryDirectory(dir=store.path / "drafts", prefix="pull-") as folder:
        staged = Store(Path(folder) / "store", create=True)

        def fetch(name: str) -> None:
            content, target = remote.read(name), staged.path / name
            if published_name(target.name.rsplit(".", 2)[0], target.suffix, content) != target.name:
                damaged.append(name)
                return
            fetched.append(len(content))
            publish(staged.path, new_draft(staged.path, target.suffix, content), target)

        _at_once(fetch, missing)
        gained = merge(store, [staged])
        for note in (staged.path / "notes").iterdir():
            target = store.path / "notes" / note.name
            if not target.exists():
                publish(store.path, new_draft(store.path, note.suffix, note.read_bytes()), target)
    return Transfer(len(fetched) - 1, sum(fetched), len(names) - len(missing), gained, tuple(damaged))


class Pushing:
    """Pushes a store in a thread, whenever there is something new, and once more at the end.

    Training does not wait for it. A push that fails is tried again with the next one; the last one's failure is raised.
    """

    def __init__(self, store: Path, url: str) -> None:
        self._path, self._remote = store, Remote(url)
        self._wanted, self._ended = threading.Event(), False
        self._thread = threading.Thread(target=self._push_on, name="push", daemon=True)

    def begin(self) -> None:
        """Push what is there by now, soon."""
        self._wanted.set()

    def _push_on(self) -> None:
        while self._wanted.wait() and not self._ended:
            self._wanted.clear()
            try:
                push(Store(self._path), self._remote)
            except (PrunescopeError, OSError):
                continue  # tried again, and reported at the end

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._ended = True
        self._wanted.set()
        self._thread.join()
        if (self._path / MARK).exists() and kind is None:
            push(Store(self._path), self._remote)


def _at_once(work: Callable[[str], None], names: Iterable[str]) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(work, names):
            pass


def _is_kept(name: str) -> bool:
    """Whether a name is that of a store's file: no other is read, whatever else a stranger put there."""
    parts = PurePosixPath(name).parts
    if parts == (MARK,):
        return True
    if not parts or not KEPT_NAME.fullmatch(parts[-1]):
        return False
    if len(parts) == 2:
        return parts[0] in _FOLDERS
    return len(parts) == 3 and parts[0] in set(ArrayKind) and bool(IDENTITY.fullmatch(parts[1]))
