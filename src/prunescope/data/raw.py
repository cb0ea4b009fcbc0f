"""A user's own arrays as they were read, before they are a dataset; and what bounds the reading of their files.

Arrays that memory should not hold are mapped: from the file that they are in, or from a temporary one beside the cache
of datasets, which has no name any more and goes with the process.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from prunescope.data.layouts import FaultCollector, cache_folder, refusal
from prunescope.errors import Fault, clipped, listed

PARTS = ("train", "test", "validation")
MOST_EXAMPLES = 10_000_000  # of one part
MOST_FAULTS = 50  # after which files are read no further
MOST_BYTES = 16 * 10**9
COPIES = 3  # of a dataset's bytes that holding it for training takes: as it was read, on the device, padded
_CHUNK = 2**24  # bytes of examples that are looked at together


class RawPart(NamedTuple):
    """Pictures or rows, and labels, whatever their types are."""

    images: NDArray[Any]
    labels: NDArray[Any]


@dataclass(frozen=True, eq=False)
class RawDataset:
    """What was read.

    Attributes
    ----------
    parts
        By their names: ``train``, ``test`` and perhaps ``validation``.
    places
        What messages call pictures and labels of a part, such as ``("train_images", "train_labels")``.
    marks
        The start of the SHA-256 of each file; empty where arrays have no files of their own.
    classes
        What the labels 0, 1, ... stand for; None where the labels are names.
    notes
        What the reader may want to know, as sentences.
    """

    parts: Mapping[str, RawPart]
    places: Mapping[str, tuple[str, str]]
    marks: Mapping[str, str] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


def most_bytes() -> int:
    """Return how many bytes a dataset's arrays may have in memory: half of this machine's, at most 16 GB."""
    return min(MOST_BYTES, machine_bytes() // 2)


def machine_bytes() -> int:
    """Return the memory of this machine."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 2**33


def most_resident(memory: int) -> int:
    """Return how many bytes of pictures training may hold in a memory: with their copies, half of it."""
    return memory // (2 * COPIES)


def is_mapped(values: NDArray[Any]) -> bool:
    """Whether an array, or what it is a view of, lies in a file."""
    base: Any = values
    while base is not None:
        if isinstance(base, np.memmap | mmap.mmap):
            return True
        base = getattr(base, "base", None)
    return False


def empty_array(shape: Sequence[int], dtype: DTypeLike, place: str) -> NDArray[Any]:
    """Return an array to be filled: in memory, or where that should not hold it, mapped from a temporary file."""
    kind = np.dtype(dtype)
    size = math.prod(shape) * kind.itemsize
    if size <= most_bytes():
        return np.empty(shape, kind)
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if size > free:
            must = f"must have room on the disk of {folder} once unpacked, {size:,} bytes"
            raise refusal(place, must, f"{free:,}", "XDG_CACHE_HOME names another place.")
        with tempfile.TemporaryFile(dir=folder) as stream:
            return np.memmap(stream, kind, "w+", shape=tuple(shape))
    except OSError as trouble:
        raise refusal(place, f"must be unpacked to {folder}", trouble.strerror or str(trouble)) from None


def chunks(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield the examples of an array, some at a time."""
    rows = max(1, _CHUNK // max(1, values[:1].nbytes))
    return (values[first : first + rows] for first in range(0, len(values), rows))


def refuse_size(place: str, size: int) -> None:
    """Refuse arrays that this machine should not hold, before they are made."""
    if size > most_bytes():
        raise refusal(place, f"must hold at most {most_bytes():,} bytes once unpacked", f"{size:,}")


def mark(content: bytes | memoryview) -> str:
    """Return the start of the SHA-256 of a file or an array."""
    return hashlib.sha256(content).hexdigest()[:16]


class Faults(FaultCollector):
    """Collects the faults of many files or arrays, and gives up after some."""

    def add(self, place: str, must: str, found: str = "", hint: str = "") -> None:
        """Add one."""
        self.faults.append(Fault(place, must, found, hint))
        self._give_up()

    @contextmanager
    def file(self) -> Iterator[None]:
        """Keep what is wrong with one file for later, and go on with the next."""
        with super().file():
            yield
        self._give_up()

    def tell(self) -> None:
        """Raise what was gathered, each fault once, also where giving up passed through `file`."""
        self.faults = list(dict.fromkeys(self.faults))
        super().tell()

    def _give_up(self) -> None:
        if len(self.faults) >= MOST_FAULTS:
            self.tell()


def read_bytes(path: Path, place: str, most: int) -> bytes:
    """Return what a plain file holds; refuse one that is larger than any of its kind."""
    try:
        if not path.is_file():
            raise refusal(place, "must be a plain file", "a folder" if path.is_dir() else "something else")
        size = path.stat().st_size
        if size > most:
            raise refusal(place, f"must be at most {most:,} bytes", f"{size:,}")
        return path.read_bytes()
    except OSError as trouble:
        raise refusal(place, "must be a file that can be read", trouble.strerror or str(trouble)) from None


def within(path: Path, root: Path) -> bool:
    """Whether a link leads to something inside of the dataset's own folder; what is no link does."""
    return not path.is_symlink() or path.resolve().is_relative_to(root.resolve())


def plain_values(images: NDArray[Any], place: str) -> NDArray[Any]:
    """Return pictures as uint8 or float32 ``[n, channels, height, width]``, rows as ``[n, 1, 1, features]``."""
    values = _typed(images, place)
    must = "must be [n, features], [n, height, width], [n, channels, height, width] or [n, height, width, channels]"
    if values.ndim not in (2, 3, 4) or 0 in values.shape:
        raise refusal(place, must, _shape(values.shape))
    if len(values) > MOST_EXAMPLES:
        raise refusal(place, f"must hold at most {MOST_EXAMPLES:,} examples", f"{len(values):,}")
    if values.ndim == 2:
        return values[:, np.newaxis, np.newaxis]
    if values.ndim == 3:
        return values[:, np.newaxis]
    return values.transpose(0, 3, 1, 2) if _is_channels_last(values.shape[1:]) else values


def _is_channels_last(shape: tuple[int, ...]) -> bool:
    """Whether the last of three lengths counts channels: it can, and the first cannot so well."""
    return (shape[2] in (1, 3) and shape[0] not in (1, 3)) or (shape[2] == 4 and shape[0] not in (1, 3, 4))


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _typed(values: NDArray[Any], place: str) -> NDArray[Any]:
    kind = values.dtype.kind
    must = "must be whole numbers from 0 to 255, or floats that are scaled already"
    if kind == "f":
        if not all(np.isfinite(chunk).all() for chunk in np.array_split(values, max(1, values.nbytes >> 26))):
            raise refusal(place, "must be finite numbers", "nan or infinity")
        if values.dtype != np.float32:
            refuse_size(place, values.size * 4)
        with np.errstate(over="ignore"):
            floats = values.astype(np.float32, copy=False)
        if values.dtype.itemsize > 4 and not np.isfinite(floats).all():
            raise refusal(place, "must be numbers that fit into 32 bits", f"up to {np.abs(values).max():.3g}")
        return floats
    if kind == "b" or values.dtype == np.uint8:
        return values.astype(np.uint8, copy=False)
    if kind not in "iu":
        raise refusal(place, must, f"values of type {values.dtype}")
    refuse_size(place, values.size)
    if values.size and not (values.min() >= 0 and values.max() <= 255):
        hint = "Scale rows of features yourself, to mean 0 and standard deviation 1, as float32."
        raise refusal(place, must, f"{values.min()} to {values.max()}", hint)
    return values.astype(np.uint8)


def plain_labels(labels: NDArray[Any], place: str) -> NDArray[Any]:
    """Return labels as one whole number or one text for each example."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        hint = "Of one column for each class take argmax(1)." if labels.ndim == 2 else ""
        raise refusal(place, "must be one label for each example", _shape(labels.shape), hint)
    if labels.dtype.kind == "O" and all(isinstance(label, str) for label in labels.tolist()):
        return labels.astype(np.str_)
    if labels.dtype.kind not in "iubU":
        raise refusal(place, "must be whole numbers or texts", f"values of type {labels.dtype}")
    return labels


def numbered_classes(
    labels: Mapping[str, NDArray[Any]], places: Mapping[str, str], faults: Faults
) -> tuple[dict[str, NDArray[np.int64]], tuple[str, ...]]:
    """Return labels counted from 0 in the order of the classes, and what the classes are called."""
    classes = np.unique(labels["train"])
    numbered = {}
    for part, values in labels.items():
        if (values.dtype.kind == "U") != (classes.dtype.kind == "U"):
            faults.add(places[part], "must be of the kind of the training labels", f"values of type {values.dtype}")
            continue
        place = np.minimum(np.searchsorted(classes, values), len(classes) - 1)
        unknown = classes[place] != values
        if unknown.any():
            shown = listed(map(clipped, np.unique(values[unknown]).tolist()), 4)
            faults.add(places[part], "must be classes that the training part has", shown)
        numbered[part] = place.astype(np.int64)
    if not 2 <= len(classes) <= 10_000:
        faults.add(places["train"], "must have 2 to 10,000 classes", f"{len(classes):,}")
    return numbered, tuple(str(name) for name in classes.tolist())
