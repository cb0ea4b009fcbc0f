"""CIFAR-10 and CIFAR-100: their binary and Python versions, from folders or from the archives as published.

A binary record is one label (CIFAR-100: the coarse one, then the fine one) and 3,072 bytes, red, green, blue, rows
first. The Python version keeps the same bytes in pickles, which are read without running them (`safe_pickle`).

Archives are read in memory. Nothing is unpacked to disk, so no name in an archive can lead anywhere; its unpacked size,
its number of entries and the sizes that they claim are bounded.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prunescope.data.dataset import DatasetPart
from prunescope.data.layouts import FaultCollector, FileLayout, refusal
from prunescope.data.safe_pickle import read_pickle
from prunescope.errors import clipped, listed
from prunescope.study.catalogue import DATASETS

MOST_ENTRIES = 1_000
# Beside the files wanted: a list of labels, a page to read, headers, padding.
_MARGIN = 16 << 20
_LARGEST = 1 << 30  # bytes that an entry may say it has
# Headers about headers, and files with holes. tarfile follows chains of them, one call within the other, and trusts
# their sizes; the names wanted are short and need none.
_SPECIAL = (*tarfile.GNU_TYPES, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)


def _members(path: Path, wanted: Collection[str], most: int) -> Iterator[tuple[str, bytes]]:
    """Give name and content of the files called ``folder/file`` in ``wanted``, each of at most ``most`` bytes.

    The archive is read once from beginning to end, so that its checksum is compared too; what is not wanted is passed
    over.
    """
    room = len(wanted) * most + _MARGIN
    try:
        with gzip.open(path) as unpacked:
            stream = _BoundedStream(unpacked, path.name, room)
            with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Entry) as archive:  # type: ignore[call-overload]
                for number, member in enumerate(archive):
                    if number >= MOST_ENTRIES:
                        raise refusal(path.name, f"must hold at most {MOST_ENTRIES:,} files", "more")
                    name = member.name.removeprefix("./")
                    if name not in wanted:
                        continue
                    if not member.isreg() or member.size > most:
                        got = f"{member.size:,} bytes" if member.isreg() else "none"
                        raise refusal(path.name, f"must hold {name} as a file of at most {most:,} bytes", got)
                    content = archive.extractfile(member)
                    yield name, content.read() if content else b""
            while stream.read(1 << 20):
                pass
    except (tarfile.TarError, zlib.error, EOFError, OSError) as trouble:
        raise refusal(path.name, "must be a whole .tar.gz archive", str(trouble), "Fetch it again.") from None


class _BoundedStream:
    """A stream of which no more is read than an archive of these files can hold."""

    def __init__(self, stream: gzip.GzipFile, name: str, room: int) -> None:
        self.stream, self.name, self.room = stream, name, room
        self.left = room

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes; refuse an archive that unpacks to far too much."""
        content = self.stream.read(size)
        self.left -= len(content)
        if self.left < 0:
            raise refusal(self.name, f"must unpack to at most {self.room:,} bytes", "more")
        return content


class _Entry(tarfile.TarInfo):
    """An entry of an archive; headers about headers are taken for files, which are passed over."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if not 0 <= self.size <= _LARGEST:
            raise tarfile.ReadError(f"an entry of {self.size:,} bytes")
        if self.type in _SPECIAL:
            self.type = tarfile.REGTYPE
        return super()._proc_member(archive)  # type: ignore[misc,no-any-return]


_SHAPE = (3, 32, 32)
_BYTES = 3072
_INSTRUCTIONS = 16  # of a pickle for each picture: two labels and a name take two to eight


@dataclass(frozen=True)
class Version:
    """One of the two versions of one of the two sets.

    Attributes
    ----------
    train, test
        Its files.
    folder
        What its makers call the folder of these files, in the archive too.
    archive
        The archive's name.
    labels
        Bytes before each picture, or the key of the labels in a pickle.
    """

    train: tuple[str, ...]
    test: str
    folder: str
    archive: str
    labels: int | str

    @property
    def files(self) -> tuple[str, ...]:
        """All of its files."""
        return (*self.train, self.test)


BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
VERSIONS = {
    "cifar10": (
        Version(
            tuple(f"{batch}.bin" for batch in BATCHES),
            "test_batch.bin",
            "cifar-10-batches-bin",
            "cifar-10-binary.tar.gz",
            1,
        ),
        Version(BATCHES, "test_batch", "cifar-10-batches-py", "cifar-10-python.tar.gz", "labels"),
    ),
    "cifar100": (
        Version(("train.bin",), "test.bin", "cifar-100-binary", "cifar-100-binary.tar.gz", 2),
        Version(("train",), "test", "cifar-100-python", "cifar-100-python.tar.gz", "fine_labels"),
    ),
}


def _read_folder(version: Version, name: str, files: Mapping[str, Path]) -> tuple[DatasetPart, DatasetPart]:
    reading = _Reading(name, version, str(files[version.test].parent))
    for file, path in files.items():
        with reading.gathered.file():
            try:
                size = path.stat().st_size
                if size > reading.most(file):
                    raise refusal(file, f"must hold at most {reading.most(file):,} bytes", f"{size:,}")
                content = path.read_bytes()
            except OSError as trouble:
                raise refusal(file, "must be a file that can be read", trouble.strerror or str(trouble)) from None
            reading.take(file, content)
    return reading.parts()


def _read_archive(version: Version, name: str, files: Mapping[str, Path]) -> tuple[DatasetPart, DatasetPart]:
    path = files[version.archive]
    reading = _Reading(name, version, str(path))
    wanted = {f"{version.folder}/{file}": file for file in version.files}
    with reading.gathered.file():
        for member, content in _members(path, wanted, max(map(reading.most, version.files))):
            with reading.gathered.file():
                reading.take(wanted[member], content)
    return reading.parts()


class _Reading:
    """The pictures and labels of all files of a version, put into their places as the files come."""

    def __init__(self, name: str, version: Version, source: str) -> None:
        facts = DATASETS[name]
        self.version = version
        self.gathered = FaultCollector(source)
        self.counts = dict.fromkeys(version.train, facts.train // len(version.train)) | {version.test: facts.test}
        self.train = DatasetPart(np.empty((facts.train, *_SHAPE), np.uint8), np.empty(facts.train, np.int64))
        self.test = DatasetPart(np.empty((facts.test, *_SHAPE), np.uint8), np.empty(facts.test, np.int64))
        self.absent = dict.fromkeys(version.files)

    def most(self, file: str) -> int:
        """Return how many bytes a file can have; a pickle has labels and the pictures' names besides."""
        if isinstance(self.version.labels, int):
            return self.counts[file] * (self.version.labels + _BYTES)
        return self.counts[file] * (_BYTES + 1024) + 65_536

    def take(self, file: str, content: bytes) -> None:
        """Put what a file holds into its place."""
        self.absent.pop(file, None)
        count, labels = self.counts[file], self.version.labels
        read = (
            _records(content, file, count, labels)
            if isinstance(labels, int)
            else _pickled(content, file, count, labels)
        )
        part = self.test if file == self.version.test else self.train
        start = 0 if file == self.version.test else self.version.train.index(file) * count
        part.images[start : start + count] = read.pictures.reshape(count, *_SHAPE)
        part.labels[start : start + count] = read.classes

    def parts(self) -> tuple[DatasetPart, DatasetPart]:
        """Return training and test part, or raise what is wrong with the files."""
        if self.absent and not self.gathered.faults:
            must = f"must hold {self.version.folder}/{' and '.join(self.absent)}"
            self.gathered.faults.extend(refusal(self.version.archive, must).faults)
        self.gathered.tell()
        return self.train, self.test


class _Batch(NamedTuple):
    """What one file holds: bytes [n, 3072] and classes [n]."""

    pictures: NDArray[np.uint8]
    classes: NDArray[np.integer]


def _records(content: bytes, file: str, count: int, labels: int) -> _Batch:
    size = labels + _BYTES
    if len(content) != count * size:
        must = f"must hold {count:,} pictures of {size:,} bytes, {count * size:,} bytes in all"
        raise refusal(file, must, f"{len(content):,} bytes")
    rows = np.frombuffer(content, np.uint8).reshape(count, size)
    return _Batch(rows[:, labels:], rows[:, labels - 1])


def _pickled(content: bytes, file: str, count: int, key: str) -> _Batch:
    batch = read_pickle(content, file, count * _INSTRUCTIONS + 10_000)
    absent = [name for name in ("data", key) if name not in batch]
    if absent:
        raise refusal(file, f"must hold {' and '.join(absent)}", f"only {listed(map(clipped, batch), 4)}")
    data, labels = batch["data"], batch[key]
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape != (count, _BYTES):
        got = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise refusal(file, f"must hold data as uint8 ({count}, {_BYTES})", got)
    values = labels.tolist() if isinstance(labels, np.ndarray) and labels.shape == (count,) else labels
    if not isinstance(values, list) or len(values) != count or any(type(value) is not int for value in values):
        got = f"{len(values):,} items" if isinstance(values, list) else type(values).__name__
        raise refusal(file, f"must hold {key} as a list of {count:,} whole numbers", got)
    if not all(0 <= value < 256 for value in values):
        raise refusal(file, f"must hold {key} that are classes", f"{clipped(min(values))} to {clipped(max(values))}")
    return _Batch(data, np.array(values, np.int64))


def _layouts(name: str) -> tuple[FileLayout, ...]:
    unpacked = [
        FileLayout(version.files, partial(_read_folder, version), (version.folder,)) for version in VERSIONS[name]
    ]
    packed = [FileLayout((version.archive,), partial(_read_archive, version)) for version in VERSIONS[name]]
    return (*unpacked, *packed)


LAYOUTS = {name: _layouts(name) for name in VERSIONS}
