"""Many pictures in one memory-mapped file with an index: ``imagenet.pictures``. Reads it; `packing` writes it.

A block of 4,096 bytes with the magic number, the pictures one after another, an index with a record for each picture,
the facts of the dataset as JSON, and how long both are. Pictures are JPEG files of any size (``jpeg``), or raw pixels,
channels first, all of one shape (``pixels``). The first ``train`` records are the training part, the others test.

A record has the start of its picture's SHA-256, and the file a hash over all of them, the labels and the facts.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from prunescope.data.layouts import refusal
from prunescope.data.raw import MOST_EXAMPLES

ENDING = ".pictures"
MAGIC, START = b"prunescope pictures 1\n", 4096
_FOOTER = struct.Struct("<QQ16s")
_END = b"end of pictures\n"
_MOST_FACTS = 10_000_000  # bytes of JSON
DIGEST = 8
RECORD = np.dtype(
    [
        ("offset", "<u8"),
        ("size", "<u4"),
        ("height", "<u2"),
        ("width", "<u2"),
        ("label", "<i4"),
        ("digest", f"V{DIGEST}"),
        ("sums", "<u8", 3),  # of the values of each channel, and of their squares, before they were encoded
        ("squares", "<u8", 3),
    ]
)
Kind = Literal["jpeg", "pixels"]


@dataclass(frozen=True)
class PictureFacts:
    """What a file of pictures holds.

    Attributes
    ----------
    dataset
        Its name in a study.
    shape
        Channels, height and width of the pictures that networks see.
    side
        Length of the shorter side of the pictures as they are kept.
    classes
        What the labels 0, 1, ... stand for.
    """

    dataset: str
    kind: Kind
    train: int
    test: int
    shape: tuple[int, int, int]
    side: int
    classes: tuple[str, ...]

    def to_bytes(self) -> bytes:
        """Return them as JSON."""
        return json.dumps(asdict(self), sort_keys=True).encode()


def digest_of(content: bytes | memoryview) -> bytes:
    """Return the start of a picture's SHA-256."""
    return hashlib.sha256(content).digest()[:DIGEST]


class PackedPictures:
    """An open file of pictures; its pages are read from the disk as they are needed.

    Attributes
    ----------
    records
        The index, read-only.
    hash
        SHA-256 over facts, labels and the pictures' own digests.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as stream:
                self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as trouble:
            words = getattr(trouble, "strerror", "") or "it is empty"
            raise refusal(path.name, "must be a file that can be read", words) from None
        self.facts, self.records = self._index()
        self.hash = content_hash(self.facts, self.records)

    def __len__(self) -> int:
        return len(self.records)

    def _index(self) -> tuple[PictureFacts, NDArray[Any]]:
        name, size = self.path.name, len(self._map)
        must, hint = "must be a whole file of pictures", "Make it again: prunescope data NAME --from DIR."
        if size < START + _FOOTER.size or self._map[: len(MAGIC)] != MAGIC:
            raise refusal(name, must, "another kind of file", hint)
        length, facts_length, end = _FOOTER.unpack(self._map[size - _FOOTER.size :])
        first = size - _FOOTER.size - length - facts_length
        if end != _END or facts_length > _MOST_FACTS or first < START or length % RECORD.itemsize:
            raise refusal(name, must, "it is cut off", hint)
        if not 0 < length // RECORD.itemsize <= MOST_EXAMPLES:
            raise refusal(name, f"must hold 1 to {MOST_EXAMPLES:,} pictures", f"{length // RECORD.itemsize:,}")
        records = np.frombuffer(self._map, RECORD, length // RECORD.itemsize, first)
        facts = _facts_of(self._map[first + length : first + length + facts_length])
        if facts is None or facts.train + facts.test != len(records):
            raise refusal(name, must, "facts that do not fit its index", hint)
        ends = records["offset"] + records["size"]
        labels = records["label"]
        if records["offset"].min() < START or ends.max() > first or records["size"].max() > 2**30:
            raise refusal(name, must, "an index that leads out of it", hint)
        if labels.min() < 0 or labels.max() >= len(facts.classes):
            raise refusal(name, must, "labels beyond its classes", hint)
        if facts.kind == "pixels" and not (records["size"] == math.prod(facts.shape)).all():
            raise refusal(name, must, "pictures of several sizes", hint)
        return facts, records

    def content(self, number: int) -> bytes:
        """Return the bytes of a picture, which must be what was written."""
        record = self.records[number]
        first = int(record["offset"])
        content = self._map[first : first + int(record["size"])]
        if digest_of(content) != bytes(record["digest"]):
            hint = "The disk or a copy damaged the file: make it again with prunescope data NAME --from DIR."
            raise refusal(f"{self.path.name}, picture {number}", "must be what was written", "other bytes", hint)
        return content

    def pixels(self) -> NDArray[np.uint8]:
        """Return all pictures of a file of pixels as one array, mapped from the disk: [n, channels, height, width]."""
        first, size = int(self.records["offset"][0]), int(self.records["size"][0])
        count = len(self.records)
        if not (self.records["offset"] == first + size * np.arange(count, dtype=np.uint64)).all():
            raise refusal(self.path.name, "must hold its pixels in the order of its index")
        return np.memmap(self.path, np.uint8, "r", first, (count, *self.facts.shape))

    def moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation of each channel over the pixels of the training part."""
        train = self.records[: self.facts.train]
        count = int((train["height"].astype(np.uint64) * train["width"]).sum())
        sums, squares = (train[name].sum(0).astype(float) for name in ("sums", "squares"))
        means = sums / count
        return tuple(means.tolist()), tuple(np.sqrt(np.maximum(squares / count - means**2, 0.0)).tolist())


def _facts_of(content: bytes) -> PictureFacts | None:
    """Read facts from JSON; None where they are none."""
    try:
        entries = json.loads(content)
        facts = PictureFacts(**entries | {key: tuple(entries[key]) for key in ("shape", "classes")})
        numbers = (facts.train, facts.test, facts.side, *facts.shape)
        sound = all(type(number) is int and number > 0 for number in numbers) and len(numbers) == 6
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return facts if sound and facts.kind in get_args(Kind) else None


def content_hash(facts: PictureFacts, records: NDArray[Any]) -> str:
    """Return the SHA-256 over what a file holds, wherever in it."""
    summed = hashlib.sha256(facts.to_bytes())
    for name in ("label", "digest", "height", "width"):
        summed.update(np.ascontiguousarray(records[name]).tobytes())
    return summed.hexdigest()


def tail(facts: PictureFacts, records: NDArray[Any]) -> bytes:
    """Return what follows the pictures in a file: index, facts, and how long both are."""
    index, described = records.tobytes(), facts.to_bytes()
    return index + described + _FOOTER.pack(len(index), len(described), _END)
