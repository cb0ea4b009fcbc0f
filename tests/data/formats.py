"""Small files in the makers' formats, for datasets whose sizes a test has made small."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from prunescope.data.dataset import Part
from prunescope.spec.names import DATASETS, DatasetFacts


def shrink(patch: pytest.MonkeyPatch, name: str, train: int = 50, test: int = 20) -> DatasetFacts:
    """Let a dataset have few pictures for the length of a test."""
    facts = DatasetFacts(train, test, DATASETS[name].classes)
    patch.setitem(DATASETS, name, facts)
    return facts


def pictures(facts: DatasetFacts, shape: tuple[int, ...], seed: int = 0) -> tuple[Part, Part]:
    """Return random pictures and labels: [n, channels, height, width] and [n]."""
    random = np.random.default_rng(seed)
    parts = [
        Part(random.integers(0, 256, (count, *shape), dtype=np.uint8), random.integers(0, facts.classes, count))
        for count in (facts.train, facts.test)
    ]
    return parts[0], parts[1]


def idx(array: NDArray[np.uint8]) -> bytes:
    """Return an IDX file with these bytes."""
    return struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


def write_mnist(folder: Path, train: Part, test: Part, *, zipped: bool = False) -> None:
    """Write the four files of MNIST."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, part in (("train", train), ("t10k", test)):
        for name, array in (("images-idx3", part.images[:, 0]), ("labels-idx1", part.labels.astype(np.uint8))):
            path = folder / f"{kind}-{name}-ubyte{'.gz' if zipped else ''}"
            path.write_bytes(gzip.compress(idx(array)) if zipped else idx(array))
