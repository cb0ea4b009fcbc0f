"""SVHN, the cropped digits, and the MATLAB 5 files (.mat) that it comes in.

Two files hold the pictures as X and the labels as y, in which 10 means 0. Of a MATLAB file only numeric arrays are
read, compressed or not. The format: a head of 128 bytes, then elements, each a tag (type and size) and its data. A
matrix element holds flags, dimensions, name and values, in this order, each an element padded to 8 bytes; a compressed
element is a zlib stream of another element. ("MAT-File Format", The MathWorks.)
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from prunescope.data.dataset import DatasetPart
from prunescope.data.layouts import FaultCollector, FileLayout, refusal
from prunescope.study.catalogue import DATASETS

FILES = ("train_32x32.mat", "test_32x32.mat")
_SIDE = 32
_ROWS = 1024


def _read_svhn(name: str, files: Mapping[str, Path]) -> tuple[DatasetPart, DatasetPart]:
    """Return training and test part from the two files."""
    facts = DATASETS[name]
    gathered = FaultCollector(str(files[FILES[0]].parent))
    parts = []
    for file, count in zip(FILES, (facts.train, facts.test), strict=True):
        with gathered.file():
            parts.append(_read(files[file], count))
    gathered.tell()
    return parts[0], parts[1]


def _read(path: Path, count: int) -> DatasetPart:
    shape = (_SIDE, _SIDE, 3, count)
    arrays = read_mat(path, {"X": 3 * _SIDE * _SIDE * count, "y": 8 * count})
    absent = [name for name in ("X", "y") if name not in arrays]
    if absent:
        raise refusal(path.name, "must hold the arrays X and y", f"no {' and no '.join(absent)}")
    pictures, labels = arrays["X"], arrays["y"]
    if pictures.shape != shape or pictures.dtype != np.uint8:
        must = f"must hold X as uint8 {' x '.join(map(str, shape))}"
        raise refusal(path.name, must, f"{pictures.dtype} {' x '.join(map(str, pictures.shape))}")
    with np.errstate(invalid="ignore"):  # what is no number differs from what it becomes
        numbers = labels.reshape(-1).astype(np.int64)
    if labels.size != count or not np.array_equal(numbers, labels.reshape(-1)) or not _within(numbers):
        got = f"{labels.size:,} numbers" + (f", {numbers.min()} to {numbers.max()}" if labels.size else "")
        raise refusal(path.name, f"must hold y as {count:,} whole numbers from 1 to 10", got)
    # [count, channels, width, height]: rows and columns still change places.
    images: NDArray[np.uint8] = pictures.astype(np.uint8, copy=False).T
    for start in range(0, count, _ROWS):
        chunk = images[start : start + _ROWS]
        chunk[:] = chunk.transpose(0, 1, 3, 2).copy()
    return DatasetPart(images, numbers % 10)


def _within(numbers: NDArray[np.int64]) -> bool:
    return bool(numbers.size and numbers.min() >= 1 and numbers.max() <= 10)


LAYOUTS = {"svhn": (FileLayout(FILES, _read_svhn, ("SVHN",)),)}


_MATRIX, _COMPRESSED = 14, 15
# Types of stored values, and the classes of arrays that hold numbers (double to uint64).
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC = range(6, 16)
_CHUNK = 1 << 20
_MOST_ELEMENTS = 1_000


class _BrokenError(Exception):
    """The file breaks off or contradicts itself."""


def read_mat(path: Path, wanted: Mapping[str, int]) -> dict[str, NDArray[np.generic]]:
    """Return the arrays with the names wanted, each of at most the number of bytes given, as far as they are there.

    Values have the type that they are stored with, which may be narrower than the array's own; the order of axes is
    MATLAB's, the first runs fastest.
    """
    try:
        with path.open("rb") as file:
            return _arrays(file, path.name, wanted)
    except (_BrokenError, zlib.error, struct.error, ValueError) as trouble:
        raise refusal(path.name, "must be a whole MATLAB 5 file", str(trouble), "Fetch it again.") from None
    except OSError as trouble:
        raise refusal(path.name, "must be a file that can be read", trouble.strerror or str(trouble)) from None


def _arrays(file: BinaryIO, name: str, wanted: Mapping[str, int]) -> dict[str, NDArray[np.generic]]:
    head = file.read(128)
    if b"MATLAB 7.3" in head[:116] or head.startswith(b"\x89HDF"):
        hint = "Save it in MATLAB with save('file.mat', 'X', 'y', '-v7')."
        raise refusal(name, "must be a MATLAB 5 file", "one of version 7.3, which is HDF5", hint)
    order = {b"IM": "<", b"MI": ">"}.get(head[126:])
    if order is None or struct.unpack(f"{order}H", head[124:126])[0] != 0x0100:
        raise refusal(name, "must be a MATLAB 5 file", "something else" if head else "an empty file")
    end = os.fstat(file.fileno()).st_size
    arrays: dict[str, NDArray[np.generic]] = {}
    elements = 0
    while file.tell() < end and len(arrays) < len(wanted):
        elements += 1
        if elements > _MOST_ELEMENTS:
            raise _BrokenError(f"more than {_MOST_ELEMENTS:,} arrays")
        kind, size = struct.unpack(f"{order}II", _exactly(file, 8))
        after = file.tell() + size
        if after > end:
            raise _BrokenError(f"it breaks off at {end:,} bytes, in the middle of an array")
        stream = _Inflated(file, size) if kind == _COMPRESSED else file
        if kind == _COMPRESSED:
            kind, _ = struct.unpack(f"{order}II", _exactly(stream, 8))
        if kind == _MATRIX:
            read = _matrix(stream, order, name, {label: most for label, most in wanted.items() if label not in arrays})
            if read is not None:
                arrays[read[0]] = read[1]
        file.seek(after)
    return arrays


def _matrix(
    stream: BinaryIO | _Inflated, order: str, name: str, wanted: Mapping[str, int]
) -> tuple[str, NDArray[np.generic]] | None:
    """Return name and values of a matrix, None where it is not wanted or not numeric."""
    flags = struct.unpack(f"{order}I", _part(stream, order, 64)[1][:4])[0]
    dimensions = _part(stream, order, 256)[1]
    shape = struct.unpack(f"{order}{len(dimensions) // 4}i", dimensions)
    label = _part(stream, order, 256)[1].decode("ascii", "replace")
    if label not in wanted or flags & 0xFF not in _NUMERIC:
        return None
    if flags & 0x0800:
        raise refusal(name, f"must hold {label} as real numbers", "complex ones")
    kind, size, small = _tag(stream, order)
    if kind not in _STORED or min(shape, default=0) < 0:
        raise _BrokenError(f"{label} has values of an unknown type")
    dtype = np.dtype(f"{order}{_STORED[kind]}")
    if size != math.prod(shape) * dtype.itemsize:
        raise _BrokenError(f"{label} has {size:,} bytes for {' x '.join(map(str, shape))} values")
    if size > wanted[label]:
        must = f"must hold {label} in at most {wanted[label]:,} bytes"
        raise refusal(name, must, f"{size:,}: {' x '.join(map(str, shape))} values")
    values = np.empty(size, np.uint8)
    if small is not None:
        values[:] = np.frombuffer(small[:size], np.uint8)
    else:
        _fill(stream, values.data)
    if isinstance(stream, _Inflated):
        stream.finish()
    return label, values.view(dtype).reshape(shape, order="F")


def _tag(stream: BinaryIO | _Inflated, order: str) -> tuple[int, int, bytes | None]:
    """Return type and size of an element, and its data where they are small enough to stand in the tag."""
    tag = _exactly(stream, 8)
    first = struct.unpack(f"{order}I", tag[:4])[0]
    if first >> 16:
        if first >> 16 > 4:
            raise _BrokenError("a tag that holds more than it can")
        return first & 0xFFFF, first >> 16, tag[4:]
    return first, struct.unpack(f"{order}I", tag[4:])[0], None


def _part(stream: BinaryIO | _Inflated, order: str, most: int) -> tuple[int, bytes]:
    """Return type and data of one of the small elements at the head of a matrix."""
    kind, size, small = _tag(stream, order)
    if small is not None:
        return kind, small[:size]
    if size > most:
        raise _BrokenError("an array with a head that is too long")
    return kind, _exactly(stream, size + -size % 8)[:size]


def _exactly(stream: BinaryIO | _Inflated, size: int) -> bytes:
    content = bytearray(size)
    _fill(stream, memoryview(content))
    return bytes(content)


def _fill(stream: BinaryIO | _Inflated, target: memoryview) -> None:
    done = 0
    while done < len(target):
        chunk = stream.read(min(_CHUNK, len(target) - done))
        if not chunk:
            raise _BrokenError("it breaks off in the middle of an array")
        target[done : done + len(chunk)] = chunk
        done += len(chunk)


class _Inflated:
    """The content of a compressed element, unpacked as it is read."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.left = file, size
        self.zlib = zlib.decompressobj()
        self.waiting = b""

    def read(self, most: int) -> bytes:
        """Return up to ``most`` bytes; none where the element has ended."""
        while not self.zlib.eof:
            packed = self.waiting
            if not packed:
                packed = self.file.read(min(_CHUNK, self.left))
                self.left -= len(packed)
            content = self.zlib.decompress(packed, most)
            self.waiting = self.zlib.unconsumed_tail
            if content:
                return content
            if not packed:
                break
        return b""

    def finish(self) -> None:
        """Read the padding that may follow; at its end zlib has compared its checksum."""
        if len(self.read(8)) > 7 or self.read(1) or not self.zlib.eof:
            raise _BrokenError("an array does not end where it should")
