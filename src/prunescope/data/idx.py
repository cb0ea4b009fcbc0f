"""IDX files, and the datasets in that format: MNIST, Fashion-MNIST and the digits that come with prunescope.

An IDX file is a magic number, the length of each dimension, then bytes; gzipped or not. Only what these datasets hold
is read: unsigned bytes in one dimension (labels) or three (pictures). MNIST and Fashion-MNIST are four files with the
same names in both. The digits are 1,797 pictures of 8 x 8, values 0 to 16; ``digits/README.md`` says who made them.
"""

from __future__ import annotations

import hashlib
import math
import struct
import zlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prunescope.data.dataset import DatasetPart
from prunescope.data.layouts import FaultCollector, FileLayout, refusal
from prunescope.errors import DamageError
from prunescope.study.catalogue import DATASETS

KINDS = {1: "labels (an IDX file with magic number 2049)", 3: "pictures (an IDX file with magic number 2051)"}

_GZIP = b"\x1f\x8b"


def _read_idx(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the labels (1 dimension) or pictures (3) of a file that has to hold ``shape[0]`` of them."""
    try:
        size, most = path.stat().st_size, _most_bytes(shape)
        if size > most:
            raise refusal(path.name, f"must hold at most {most:,} bytes", f"{size:,}")
        content = path.read_bytes()
    except OSError as trouble:
        raise refusal(path.name, "must be a file that can be read", trouble.strerror or str(trouble)) from None
    return _parse_idx(content, path.name, shape)


def _most_bytes(shape: tuple[int, ...]) -> int:
    """Return how large a file can be: gzip adds little to what it cannot make smaller."""
    return math.prod(shape) * 101 // 100 + 65_536


def _parse_idx(content: bytes, name: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return what the content of a file called ``name`` holds."""
    dimensions, count = len(shape), shape[0]
    head = 4 + 4 * dimensions
    start, _ = _unpacked(content, name, head)
    start = start[:head]
    if len(start) >= 4 and (magic := int.from_bytes(start[:4])) != 0x800 + dimensions:
        got = KINDS.get(magic - 0x800, f"magic number {magic}").split(" (")[0]
        raise refusal(name, f"must hold {KINDS[dimensions]}", got)
    if len(start) < head:
        raise refusal(name, f"must hold {KINDS[dimensions]}", f"{len(start)} bytes")
    lengths = struct.unpack_from(f">{dimensions}I", start, 4)
    what = KINDS[dimensions].split(" (")[0]
    if lengths[0] != count:
        raise refusal(name, f"must hold {count:,} {what}", f"{lengths[0]:,}")
    if lengths != shape:
        must = f"must hold pictures of {' x '.join(map(str, shape[1:]))} pixels"
        raise refusal(name, must, " x ".join(map(str, lengths[1:])))
    size = math.prod(shape)
    whole, ended = _unpacked(content, name, head + size)
    if len(whole) != head + size or not ended:
        got = "more" if len(whole) > head + size else f"{len(whole):,}: the file is cut off"
        raise refusal(name, f"must hold {head + size:,} bytes, for {count:,} {what}", got)
    return np.frombuffer(whole, np.uint8, size, head).reshape(shape)


def _unpacked(content: bytes, name: str, most: int) -> tuple[bytes, bool]:
    """Return the content, and whether it ends where it should.

    Of a gzip file at most ``most + 1`` bytes are unpacked, so that none can fill the memory; where it ends, zlib has
    compared its checksum.
    """
    if not content.startswith(_GZIP):
        return content, True
    stream = zlib.decompressobj(wbits=31)
    try:
        return stream.decompress(content, most + 1), stream.eof
    except zlib.error as trouble:
        raise refusal(name, "must be a sound gzip file", str(trouble), "Fetch it again.") from None


FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

# The first labels of each part, by which a file of one set is known among those of the other however it was packed.
FIRST_LABELS = {
    "mnist": (bytes([5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3, 5, 3, 6, 1, 7]), bytes([7, 2, 1, 0, 4, 1, 4, 9, 5, 9])),
    "fashion-mnist": (bytes([9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 9, 5, 5, 7, 9]), bytes([9, 2, 1, 1, 6, 1, 4, 6, 5, 7])),
}


def _read_mnist(name: str, files: Mapping[str, Path]) -> tuple[DatasetPart, DatasetPart]:
    """Return training and test part from the four files, keyed by their names without ``.gz``."""
    facts = DATASETS[name]
    folder = str(files[FILES[0]].parent)
    gathered = FaultCollector(folder)
    arrays = []
    for file, count in zip(FILES, (facts.train, facts.train, facts.test, facts.test), strict=True):
        labels = "labels" in file
        with gathered.file():
            array = _read_idx(files[file], (count,) if labels else (count, *facts.shape[1:]))
            if labels:
                _refuse_the_other(name, files[file], array.tobytes(), test=file == FILES[3])
            arrays.append(array)
    gathered.tell()
    train_images, train_labels, test_images, test_labels = arrays
    return (
        DatasetPart(train_images[:, np.newaxis], train_labels.astype(np.int64)),
        DatasetPart(test_images[:, np.newaxis], test_labels.astype(np.int64)),
    )


def _refuse_the_other(name: str, path: Path, labels: bytes, *, test: bool) -> None:
    for other, firsts in FIRST_LABELS.items():
        if other != name and labels.startswith(firsts[test]):
            hint = f"The two have the same file names: keep each in a folder of its own name, {name} and {other}."
            raise refusal(path.name, f"must hold the labels of {name}", f"those of {other}", hint)


LAYOUTS = {
    "mnist": (FileLayout(FILES, _read_mnist, ("MNIST/raw", "MNIST", "raw"), gzipped=True),),
    "fashion-mnist": (FileLayout(FILES, _read_mnist, ("FashionMNIST/raw", "FashionMNIST", "raw"), gzipped=True),),
}


SUMS = {
    "train-images-idx3-ubyte.gz": "4c30f50127b923c6dee9f8b5d1f7ac311e63a7a56b9f4a77082129845eb793b2",
    "train-labels-idx1-ubyte.gz": "6975273f78e84060d44aaf12a803dc4ddae14f05fcd2f3b1b14797eae575e85f",
    "test-images-idx3-ubyte.gz": "936be02531a243e02929efc16aa9eee6f6cbad0031308aed89c71cfa9e4e09f6",
    "test-labels-idx1-ubyte.gz": "589b979c70225f8b27f77ef850c12028b3c60d4afa28cb91b170ac0a9388bb34",
}


def read_digits() -> tuple[DatasetPart, DatasetPart]:
    """Return training and test part, after checking that the files are those that were packed."""
    folder = resources.files("prunescope") / "data" / "digits"
    contents = {}
    for file, expected in SUMS.items():
        content = (folder / file).read_bytes()
        if hashlib.sha256(content).hexdigest() != expected:
            raise DamageError(f"{folder / file} is not the file that comes with prunescope: install it again")
        contents[file] = content
    facts = DATASETS["digits"]
    parts = []
    for kind, count in (("train", facts.train), ("test", facts.test)):
        images, labels = f"{kind}-images-idx3-ubyte.gz", f"{kind}-labels-idx1-ubyte.gz"
        pictures = _parse_idx(contents[images], images, (count, *facts.shape[1:]))
        parts.append(
            DatasetPart(pictures[:, np.newaxis], _parse_idx(contents[labels], labels, (count,)).astype(np.int64))
        )
    return parts[0], parts[1]
