"""SVHN, the cropped digits: two MATLAB files with the pictures as X and the labels as y, in which 10 means 0."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prunescope.data.dataset import DatasetPart
from prunescope.data.fault_collector import FaultCollector, refusal
from prunescope.data.layouts import FileLayout
from prunescope.data.matlab import read_mat
from prunescope.study.catalogue import DATASETS

FILES = ("train_32x32.mat", "test_32x32.mat")
_SIDE = 32
_ROWS = 1024


def read_svhn(name: str, files: Mapping[str, Path]) -> tuple[DatasetPart, DatasetPart]:
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


LAYOUTS = {"svhn": (FileLayout(FILES, read_svhn, ("SVHN",)),)}
