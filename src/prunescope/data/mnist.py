"""MNIST and Fashion-MNIST: four IDX files, which have the same names in both."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from prunescope.data.dataset import DatasetPart
from prunescope.data.fault_collector import FaultCollector, refusal
from prunescope.data.idx import read_idx
from prunescope.data.layouts import FileLayout
from prunescope.study.catalogue import DATASETS

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

# The first labels of each part, by which a file of one set is known among those of the other however it was packed.
FIRST_LABELS = {
    "mnist": (bytes([5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3, 5, 3, 6, 1, 7]), bytes([7, 2, 1, 0, 4, 1, 4, 9, 5, 9])),
    "fashion-mnist": (bytes([9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 9, 5, 5, 7, 9]), bytes([9, 2, 1, 1, 6, 1, 4, 6, 5, 7])),
}


def read_mnist(name: str, files: Mapping[str, Path]) -> tuple[DatasetPart, DatasetPart]:
    """Return training and test part from the four files, keyed by their names without ``.gz``."""
    facts = DATASETS[name]
    folder = str(files[FILES[0]].parent)
    gathered = FaultCollector(folder)
    arrays = []
    for file, count in zip(FILES, (facts.train, facts.train, facts.test, facts.test), strict=True):
        labels = "labels" in file
        with gathered.file():
            array = read_idx(files[file], (count,) if labels else (count, *facts.shape[1:]))
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
    "mnist": (FileLayout(FILES, read_mnist, ("MNIST/raw", "MNIST", "raw"), gzipped=True),),
    "fashion-mnist": (FileLayout(FILES, read_mnist, ("FashionMNIST/raw", "FashionMNIST", "raw"), gzipped=True),),
}
