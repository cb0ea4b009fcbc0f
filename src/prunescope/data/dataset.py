"""A dataset: raw bytes, labels, and the mean and spread of the training pictures.

Reading files is the business of the modules for each format; what every dataset must satisfy is checked here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import Fault, InputError, listed
from prunescope.study.catalogue import DATASETS

Images: TypeAlias = Any
"""An array in memory or mapped from a file, or `EncodedPictures`, which stand in for one."""

# Values turned into float64 at a time: they stay in a core's cache, and are too few for BLAS to wake other cores for.
_CHUNK = 8192


class DatasetPart(NamedTuple):
    """The training or the test part of a dataset: uint8 [n, channels, height, width] and int64 [n]."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Pictures and labels; all arrays are read-only. Pictures may lie on a disk, mapped or encoded, until used.

    Attributes
    ----------
    name
        As a study names it.
    train_images, test_images
        uint8 [n, channels, height, width], the values of the makers' files. A user's own may be float32, scaled
        already, and rows of features are [n, 1, 1, features].
    train_labels, test_labels
        int64 [n], 0 to ``classes - 1``.
    classes
        Number of classes.
    mean, std
        Per channel, of the raw values of the training pictures: a network's input is ``(value - mean) / std``.
    validation
        How many of the training pictures, the last ones, are a validation part of the dataset's own. No network learns
        from them.
    """

    name: str
    train_images: Images
    train_labels: NDArray[np.int64]
    test_images: Images
    test_labels: NDArray[np.int64]
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    validation: int = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a picture."""
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width


Moments = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel's values."""


def assembled(name: str, train: DatasetPart, test: DatasetPart, source: str, known: Moments | None = None) -> Dataset:
    """Return a dataset from its parts; refuse parts that cannot be this dataset, naming ``source``.

    Parameters
    ----------
    known
        The moments of the training pictures, where they need not be computed.
    """
    faults = list(_faults(name, train, test))
    if faults:
        raise InputError(source, faults)
    mean, std = known or moments(train.images)
    if min(std) == 0:
        raise InputError(source, [Fault("the training pictures", "must differ", f"one value only, {mean[0]:g}")])
    train, test = _frozen(train), _frozen(test)
    return Dataset(name, *train, *test, DATASETS[name].classes, mean, std)


def _frozen(part: DatasetPart) -> DatasetPart:
    """Return a part that is in C order and read-only."""
    images, labels = np.ascontiguousarray(part.images), np.ascontiguousarray(part.labels)
    images.flags.writeable = labels.flags.writeable = False
    return DatasetPart(images, labels)


def _faults(name: str, train: DatasetPart, test: DatasetPart) -> Iterator[Fault]:
    facts = DATASETS[name]
    for words, part, count in (("training", train, facts.train), ("test", test, facts.test)):
        if len(part.images) != count:
            yield Fault(f"the {words} pictures", f"must be {count:,}", f"{len(part.images):,}")
        if len(part.labels) != count:
            yield Fault(f"the {words} labels", f"must be {count:,}", f"{len(part.labels):,}")
        wrong = (part.labels < 0) | (part.labels >= facts.classes)
        if wrong.any():
            got = listed(np.unique(part.labels[wrong]).tolist(), 4)
            yield Fault(f"the {words} labels", f"must be 0 to {facts.classes - 1}", got)
    if train.images.shape[1:] != test.images.shape[1:]:
        got = " and ".join(" x ".join(map(str, part.images.shape[1:])) for part in (train, test))
        yield Fault("training and test pictures", "must have one shape", got)


def moments(images: NDArray[np.uint8]) -> Moments:
    """Return the mean and the standard deviation of each channel's values.

    Sums of integers below 2^53 are exact in float64, so chunks, order and machine change nothing.
    """
    count, channels = images.shape[:2]
    flat = images.reshape(count, channels, -1)
    size = flat.shape[2]
    rows = max(1, _CHUNK // max(1, size))
    buffer = np.empty((rows, size))
    sums, squares = np.zeros(channels), np.zeros(channels)
    for start in range(0, count, rows):
        chunk = flat[start : start + rows]
        for channel in range(channels):
            np.copyto(buffer[: len(chunk)], chunk[:, channel])
            values = buffer[: len(chunk)].reshape(-1)
            sums[channel] += values.sum()
            squares[channel] += values @ values
    means = sums / (count * size)
    spreads = np.sqrt(np.maximum(squares / (count * size) - means**2, 0.0))
    return tuple(means.tolist()), tuple(spreads.tolist())
