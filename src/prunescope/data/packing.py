"""Writes the pictures of a folder into one file (`packed_pictures`): once, in threads, and on again after a kill.

While it is made the file is called ``FILE.part``, with ``FILE.journal`` beside it: a line that says of what, then a
record for each picture that is in. What a journal lacks, or what has changed since, is read again. A picture that
cannot be decoded is named and counted, and the file is not finished before it is mended: nothing is left out.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prunescope.data.coding import QUALITY, Pixels, decoded_picture, encoded, with_shorter_side
from prunescope.data.layouts import refusal
from prunescope.data.packed_pictures import MAGIC, RECORD, START, PictureFacts, content_hash, digest_of, tail
from prunescope.data.picture_folder import MOST_FILE, PictureFile
from prunescope.data.raw import read_bytes
from prunescope.errors import Fault, InputError, PrunescopeError, clipped, counted

_ENTRY = np.dtype(
    [("number", "<u4"), ("source_size", "<u8"), ("source_time", "<u8"), ("record", RECORD), ("end", "u1")]
)
_STRICT, _LENIENT = 0xA5, 0xA6  # the last byte of an entry that was written whole: who read the picture
_AT_ONCE = 16  # pictures of a task
_SAFE = 2**26  # bytes between two times that the disk is asked to keep what was written
_TRIED = 48  # pictures that tell how much disk all of them will take
_SPARE = 1.05
_MOST_NAMED = 20


class Progress(NamedTuple):
    """How far packing is: pictures in the file, those that could not be decoded, and all."""

    done: int
    damaged: int
    total: int


@dataclass(frozen=True)
class Packed:
    """What packing made.

    Attributes
    ----------
    resumed
        Pictures that an earlier try had left.
    lenient
        Pictures that the strict decoder refused and Pillow read.
    """

    path: Path
    facts: PictureFacts
    pictures: int
    resumed: int
    lenient: int
    bytes_: int
    hash: str


class _Made(NamedTuple):
    """A picture as it goes into the file, and whether the strict decoder refused it."""

    content: bytes
    record: NDArray[Any]
    source: tuple[int, int]
    lenient: bool


def pack(
    root: Path,
    pictures: Sequence[PictureFile],
    facts: PictureFacts,
    target: Path,
    *,
    threads: int,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Packed:
    """Write pictures, the training part first, into a file; go on where an earlier try ended.

    Parameters
    ----------
    root
        The folder that the pictures' places are relative to.
    threads
        How many decode and encode.
    """
    draft, journal = (target.with_name(target.name + ending) for ending in (".part", ".journal"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with journal.open("a+b") as log, draft.open("a+b"), draft.open("r+b") as data:
            _claim(log, target)
            packer = _Packer(root, pictures, facts, data, log)
            packer.resume()
            packer.check_disk(target)
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # of metadata that nobody reads; here, since filters are no thread's own
                packer.fill(threads, on_progress)
            packer.tell_damaged()
            size = packer.finish()
            draft.replace(target)
            journal.unlink()
    except OSError as trouble:
        words = trouble.strerror or str(trouble)
        raise PrunescopeError(f"{target} cannot be written: {words}. The same command goes on from here.") from None
    made = content_hash(facts, packer.records)
    return Packed(target, facts, len(pictures), packer.resumed, int(packer.lenient.sum()), size, made)


def _claim(log: IO[bytes], target: Path) -> None:
    try:
        fcntl.flock(log.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise PrunescopeError(f"another process is writing {target}") from None


class _Packer:
    """A file under way."""

    def __init__(
        self, root: Path, pictures: Sequence[PictureFile], facts: PictureFacts, data: IO[bytes], log: IO[bytes]
    ) -> None:
        self._root, self._pictures, self._facts = root, pictures, facts
        self._data, self._log = data, log
        self.records = np.zeros(len(pictures), RECORD)
        self._there, self.lenient = np.zeros((2, len(pictures)), np.bool_)
        self._damaged: dict[int, Fault] = {}
        self._end = START
        self.resumed = 0

    def _head(self) -> bytes:
        """Return the journal's first line: what the file is made of, and how."""
        listing = hashlib.sha256()
        for picture in self._pictures:
            listing.update(f"{picture.place}\0{picture.label}\n".encode("utf-8", "surrogateescape"))
        facts = json.loads(self._facts.to_bytes())
        return json.dumps({"facts": facts, "quality": QUALITY, "listing": listing.hexdigest()}).encode() + b"\n"

    def resume(self) -> None:
        """Take up what the journal says is there, unless it is of other pictures or their files have changed."""
        head, log = self._head(), self._log
        log.seek(0)
        if log.readline() != head:
            for stream, start in ((log, head), (self._data, MAGIC.ljust(START, b"\0"))):
                stream.seek(0)
                stream.truncate()
                stream.write(start)
                stream.flush()
        log.seek(len(head))
        content = log.read()
        entries = np.frombuffer(content, _ENTRY, len(content) // _ENTRY.itemsize)
        size = os.fstat(self._data.fileno()).st_size
        sound = np.isin(entries["end"], (_STRICT, _LENIENT)) & (entries["number"] < len(self._pictures))
        sound &= entries["record"]["offset"] + entries["record"]["size"] <= size
        broken = np.flatnonzero(~sound)
        entries = entries[: broken[0]] if len(broken) else entries
        log.truncate(len(head) + len(entries) * _ENTRY.itemsize)
        log.seek(0, os.SEEK_END)
        for entry in entries:
            number, record = int(entry["number"]), entry["record"]
            end = int(record["offset"]) + int(record["size"])
            unchanged = self._source(number) == (int(entry["source_size"]), int(entry["source_time"]))
            # The last ones may not have reached the disk before the power was gone.
            if unchanged and (end < size - 2 * _SAFE or self._is_written(record)):
                self.records[number], self._there[number] = record, True
                self.lenient[number] = entry["end"] == _LENIENT
                self._end = max(self._end, end)
        self.resumed = int(self._there.sum())

    def _is_written(self, record: NDArray[Any]) -> bool:
        self._data.seek(int(record["offset"]))
        return digest_of(self._data.read(int(record["size"]))) == bytes(record["digest"])

    def _source(self, number: int) -> tuple[int, int]:
        try:
            status = (self._root / self._pictures[number].place).stat()
        except OSError:
            return 0, 0
        return status.st_size, status.st_mtime_ns

    def check_disk(self, target: Path) -> None:
        """Refuse a disk that will not hold the file, by what some of the pictures take."""
        missing = np.flatnonzero(~self._there)
        if not len(missing):
            return
        sizes = []
        for number in missing[np.linspace(0, len(missing) - 1, min(_TRIED, len(missing))).astype(int)].tolist():
            try:
                sizes.append(len(self._make(number).content))
            except InputError:  # it is told with the others
                continue
        wanted = int(_SPARE * len(missing) * (float(np.mean(sizes)) if sizes else 0.0)) + 2 * self.records.nbytes
        free = shutil.disk_usage(target.parent).free
        if wanted > free:
            must = f"must have about {wanted / 1e9:,.3g} GB free"
            hint = "Name a file on a larger disk with --out."
            raise InputError(str(target), [Fault("its disk", must, f"{free / 1e9:,.3g} GB", hint)])

    def _make(self, number: int) -> _Made:
        """Return one picture as it goes into the file."""
        picture, source = self._pictures[number], self._source(number)
        content = read_bytes(self._root / picture.place, clipped(picture.place), MOST_FILE)
        pixels, lenient = decoded_picture(content, picture.place)
        facts = self._facts
        if facts.kind == "jpeg":
            pixels = with_shorter_side(pixels, facts.side)
            made = encoded(pixels)
        else:
            if pixels.shape[:2] != facts.shape[1:]:
                must = f"must be {facts.shape[2]} x {facts.shape[1]} pixels"
                raise refusal(clipped(picture.place), must, f"{pixels.shape[1]} x {pixels.shape[0]}")
            made = np.ascontiguousarray(pixels.transpose(2, 0, 1)).tobytes()
        record = np.zeros((), RECORD)
        record["size"], record["label"], record["digest"] = len(made), picture.label, np.void(digest_of(made))
        record["height"], record["width"] = pixels.shape[:2]
        record["sums"], record["squares"] = _sums(pixels)
        return _Made(made, record, source, lenient)

    def _make_some(self, numbers: Sequence[int]) -> list[tuple[int, _Made | InputError]]:
        made: list[tuple[int, _Made | InputError]] = []
        for number in numbers:
            try:
                made.append((number, self._make(number)))
            except InputError as trouble:
                made.append((number, trouble))
        return made

    def fill(self, threads: int, on_progress: Callable[[Progress], None]) -> None:
        """Make and write what is missing, in the order of the pictures."""
        missing = np.flatnonzero(~self._there).tolist()
        tasks = (missing[first : first + _AT_ONCE] for first in range(0, len(missing), _AT_ONCE))
        unsafe = 0
        with ThreadPoolExecutor(threads) as pool:
            for made in _in_order(pool, self._make_some, tasks, 2 * threads):
                entries = []
                for number, item in made:
                    if isinstance(item, InputError):
                        self._damaged[number] = item.faults[0]
                        continue
                    self._put(number, item)
                    entries.append(self._entry(number, item))
                    unsafe += len(item.content)
                if unsafe > _SAFE:
                    self._data.flush()
                    os.fsync(self._data.fileno())
                    unsafe = 0
                self._data.flush()  # before the journal says that they are there
                self._log.write(b"".join(entries))
                self._log.flush()
                on_progress(Progress(int(self._there.sum()), len(self._damaged), len(self._pictures)))

    def _put(self, number: int, made: _Made) -> None:
        offset = START + number * len(made.content) if self._facts.kind == "pixels" else self._end
        self._data.seek(offset)
        self._data.write(made.content)
        self._end = max(self._end, offset + len(made.content))
        made.record["offset"] = offset
        self.records[number], self._there[number] = made.record, True
        self.lenient[number] = made.lenient

    def _entry(self, number: int, made: _Made) -> bytes:
        end = _LENIENT if made.lenient else _STRICT
        return np.array((number, *made.source, made.record, end), _ENTRY).tobytes()

    def tell_damaged(self) -> None:
        """Refuse to finish a file without all pictures: count and name those that could not be decoded."""
        if not self._damaged:
            return
        count = len(self._damaged)
        words = counted(count, "picture that cannot be read", "pictures that cannot be read")
        hint = "Replace them and give the same command: the others stay."
        total = Fault("its pictures", "must all be whole", words, hint)
        raise InputError(str(self._root), [total, *(self._damaged[n] for n in sorted(self._damaged)[:_MOST_NAMED])])

    def finish(self) -> int:
        """Write the index and the facts; return the size of the file."""
        self._data.seek(self._end)
        self._data.truncate()
        self._data.write(tail(self._facts, self.records))
        self._data.flush()
        os.fsync(self._data.fileno())
        return self._data.tell()


def _sums(pixels: Pixels) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the sum of each channel's values, and of their squares."""
    counts = np.stack([np.bincount(pixels[..., channel].ravel(), minlength=256) for channel in range(3)])
    values = np.arange(256)
    return (counts @ values).astype(np.uint64), (counts @ values**2).astype(np.uint64)


def _in_order(pool: ThreadPoolExecutor, work: Callable[[Any], Any], tasks: Iterator[Any], ahead: int) -> Iterator[Any]:
    """Yield the results of tasks in their order, with some of them under way ahead."""
    waiting: deque[Future[Any]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(work, task))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
