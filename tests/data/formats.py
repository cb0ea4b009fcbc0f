"""Small files in the makers' formats, for datasets whose sizes a test has made small."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from prunescope.data.dataset import Dataset, DatasetPart
from prunescope.study.catalogue import DATASETS, DatasetFacts


def shrink(patch: pytest.MonkeyPatch, name: str, train: int = 50, test: int = 20) -> DatasetFacts:
    """Let a dataset have few pictures for the length of a test."""
    facts = DatasetFacts(train, test, DATASETS[name].classes, DATASETS[name].shape)
    patch.setitem(DATASETS, name, facts)
    return facts


def pictures(facts: DatasetFacts, shape: tuple[int, ...], seed: int = 0) -> tuple[DatasetPart, DatasetPart]:
    """Return random pictures and labels: [n, channels, height, width] and [n]."""
    random = np.random.default_rng(seed)
    parts = [
        DatasetPart(random.integers(0, 256, (count, *shape), dtype=np.uint8), random.integers(0, facts.classes, count))
        for count in (facts.train, facts.test)
    ]
    return parts[0], parts[1]


def idx(array: NDArray[np.uint8]) -> bytes:
    """Return an IDX file with these bytes."""
    return struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


def gz(content: bytes) -> bytes:
    """Return a gzip file with these bytes, which tells no time: the same at every call."""
    return gzip.compress(content, mtime=0)


def write_mnist(folder: Path, train: DatasetPart, test: DatasetPart, *, zipped: bool = False) -> None:
    """Write the four files of MNIST."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, part in (("train", train), ("t10k", test)):
        for name, array in (("images-idx3", part.images[:, 0]), ("labels-idx1", part.labels.astype(np.uint8))):
            path = folder / f"{kind}-{name}-ubyte{'.gz' if zipped else ''}"
            path.write_bytes(gz(idx(array)) if zipped else idx(array))


def records(part: DatasetPart, labels: int) -> bytes:
    """Return a binary batch of CIFAR: one label or, for CIFAR-100, a coarse one that misleads and the fine one."""
    columns = [part.labels.astype(np.uint8)[:, None]]
    if labels == 2:
        columns.insert(0, columns[0] // 5 + 100)
    return np.concatenate([*columns, part.images.reshape(len(part.labels), -1)], axis=1).tobytes()


def pickled_by_python_2(entries: dict[str, NDArray[np.uint8] | list[int] | str]) -> bytes:
    """Return what Python 2 made of a batch of CIFAR: protocol 2, texts as bytes, arrays by numpy's `_reconstruct`."""
    out = [b"\x80\x02}q\x01("]
    for key, value in entries.items():
        out.append(_text(key))
        if isinstance(value, str):
            out.append(_text(value))
        elif isinstance(value, list):
            numbers = (b"K%c" % item if item < 256 else b"M" + struct.pack("<H", item) for item in value)
            out.append(b"]q\x05(" + b"".join(numbers) + b"e")
        else:
            rows, columns = value.shape
            out.append(
                b"cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b\x87Rq\x04(K\x01"
            )
            out.append(b"J" + struct.pack("<i", rows) + b"M" + struct.pack("<H", columns) + b"\x86")
            out.append(
                b"cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
            )
            out.append(b"\x89T" + struct.pack("<I", value.size) + value.tobytes() + b"tb")
    return b"".join([*out, b"u."])


def _text(text: str) -> bytes:
    return b"U%c" % len(text) + text.encode()


def batches(train: DatasetPart, test: DatasetPart, count: int) -> list[DatasetPart]:
    """Cut the training part into ``count`` batches; the test part comes last."""
    size = len(train.labels) // count
    cuts = [slice(number * size, (number + 1) * size) for number in range(count)]
    return [*(DatasetPart(train.images[cut], train.labels[cut]) for cut in cuts), test]


def tarred(path: Path, files: dict[str, bytes]) -> None:
    """Write a .tar.gz archive."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def same(dataset: Dataset, train: DatasetPart, test: DatasetPart) -> None:
    """Assert that a dataset holds these parts, as every dataset has to."""
    for actual, expected in (
        (dataset.train_images, train.images),
        (dataset.train_labels, train.labels),
        (dataset.test_images, test.images),
        (dataset.test_labels, test.labels),
    ):
        np.testing.assert_array_equal(actual, expected)
        assert actual.flags.c_contiguous
        assert not actual.flags.writeable
    assert dataset.train_images.dtype == np.uint8
    assert dataset.train_labels.dtype == np.int64
    assert dataset.shape == train.images.shape[1:]
    np.testing.assert_allclose(dataset.mean, train.images.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(dataset.std, train.images.std(axis=(0, 2, 3)), rtol=1e-9)
