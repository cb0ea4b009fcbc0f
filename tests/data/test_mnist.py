"""MNIST, Fashion-MNIST and the bundled digits: read as they are, or refused with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from prunescope.data import idx as idx_module
from prunescope.data import load
from prunescope.data.dataset import DatasetPart
from prunescope.data.idx import FIRST_LABELS
from prunescope.errors import DamageError, InputError
from prunescope.study.catalogue import DATASETS
from tests.data.formats import gz, idx, pictures, same, shrink, write_mnist

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> tuple[DatasetPart, DatasetPart]:
    shrink(monkeypatch, "fashion-mnist")
    return pictures(shrink(monkeypatch, "mnist"), (1, 28, 28))


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("where", [".", "mnist", "MNIST/raw", "mnist/MNIST/raw"])
def test_files_are_found_where_they_usually_are(
    tmp_path: Path, parts: tuple[DatasetPart, DatasetPart], where: str, zipped: bool
) -> None:
    write_mnist(tmp_path / where, *parts, zipped=zipped)
    same(load("mnist", tmp_path, fetch=False), *parts)


def test_a_folder_with_the_datasets_name_goes_first(tmp_path: Path, parts: tuple[DatasetPart, DatasetPart]) -> None:
    write_mnist(tmp_path, *pictures(DATASETS["mnist"], (1, 28, 28), seed=1))
    write_mnist(tmp_path / "fashion-mnist", *parts)
    same(load("fashion-mnist", tmp_path, fetch=False), *parts)


@pytest.mark.parametrize(("wanted", "there"), [("mnist", "fashion-mnist"), ("fashion-mnist", "mnist")])
def test_files_of_the_other_set_are_refused(
    tmp_path: Path, parts: tuple[DatasetPart, DatasetPart], wanted: str, there: str
) -> None:
    for part, firsts in zip(parts, FIRST_LABELS[there], strict=True):
        part.labels[: len(firsts)] = list(firsts)
    write_mnist(tmp_path, *parts, zipped=True)
    same(load(there, tmp_path, fetch=False), *parts)
    with pytest.raises(InputError, match=f"must hold the labels of {wanted}; found those of {there}") as raised:
        load(wanted, tmp_path, fetch=False)
    assert len(raised.value.faults) == 2


def test_every_faulty_file_is_told(tmp_path: Path, parts: tuple[DatasetPart, DatasetPart]) -> None:
    train, test = parts
    write_mnist(tmp_path, train, test)
    (tmp_path / IMAGES).write_bytes(idx(train.labels.astype(np.uint8)))
    (tmp_path / LABELS).write_bytes(idx(train.labels.astype(np.uint8)[:30]))
    whole = (tmp_path / "t10k-images-idx3-ubyte").read_bytes()
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(whole[:-1])
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(b"<html>not found</html>")
    with pytest.raises(InputError) as raised:
        load("mnist", tmp_path, fetch=False)
    faults = [str(fault) for fault in raised.value.faults]
    assert faults[0] == f"{IMAGES}: must hold pictures (an IDX file with magic number 2051); found labels"
    assert faults[1] == f"{LABELS}: must hold 50 labels; found 30"
    assert faults[2].endswith("must hold 15,696 bytes, for 20 pictures; found 15,695: the file is cut off")
    assert faults[3].endswith("must hold labels (an IDX file with magic number 2049); found magic number 1013478509")
    assert str(tmp_path) in str(raised.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "found 0 bytes"),
        (b"\x00\x00\x08\x01\x00", "found 5 bytes"),
        (idx(np.zeros(51, np.uint8)), "found 51"),
        (idx(np.zeros(50, np.uint8)) + b"x", "found more"),
        (gz(idx(np.zeros(50, np.uint8)))[:-1], "cut off"),
        (gz(idx(np.arange(50, dtype=np.uint8)))[:20], "cut off"),
        (gz(idx(np.zeros(50, np.uint8)) + bytes(10**6)), "found more"),
        (gz(idx(np.zeros(50, np.uint8)))[:-8] + bytes(8), "sound gzip file"),
        (idx(np.full(50, 10, np.uint8)), "must be 0 to 9; found 10"),
    ],
)
def test_labels_that_are_not_whole_are_refused(
    tmp_path: Path, parts: tuple[DatasetPart, DatasetPart], content: bytes, words: str
) -> None:
    write_mnist(tmp_path, *parts)
    (tmp_path / LABELS).write_bytes(content)
    with pytest.raises(InputError, match=words):
        load("mnist", tmp_path, fetch=False)


def test_pictures_of_any_size_are_not_pictures(tmp_path: Path, parts: tuple[DatasetPart, DatasetPart]) -> None:
    write_mnist(tmp_path, *parts)
    whole = (tmp_path / IMAGES).read_bytes()
    (tmp_path / IMAGES).write_bytes(whole[:8] + b"\xff" * 8 + whole[16:])
    with pytest.raises(InputError, match="pictures of 28 x 28 pixels; found 4294967295 x 4294967295"):
        load("mnist", tmp_path, fetch=False)


def test_a_file_that_would_fill_the_memory_is_not_unpacked(
    tmp_path: Path, parts: tuple[DatasetPart, DatasetPart]
) -> None:
    write_mnist(tmp_path, *parts)
    large = (0x803).to_bytes(4) + (50).to_bytes(4) + (4_096).to_bytes(4) * 2 + bytes(10**6)
    (tmp_path / IMAGES).write_bytes(gz(large))
    with (tmp_path / LABELS).open("wb") as labels:
        labels.truncate(200 << 20)
    with pytest.raises(InputError) as raised:
        load("mnist", tmp_path, fetch=False)
    assert [(fault.must, fault.found) for fault in raised.value.faults] == [
        ("must hold pictures of 28 x 28 pixels", "4096 x 4096"),
        ("must hold at most 65,586 bytes", "209,715,200"),
    ]


def test_pictures_that_are_all_one_value_are_refused(tmp_path: Path, parts: tuple[DatasetPart, DatasetPart]) -> None:
    parts[0].images[:] = 7
    write_mnist(tmp_path, *parts)
    with pytest.raises(InputError, match="must differ; found one value only, 7"):
        load("mnist", tmp_path, fetch=False)


def test_the_bundled_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    digits, source = load("digits"), load_digits()
    assert_array_equal(np.concatenate([digits.train_images, digits.test_images])[:, 0], source.images)
    assert_array_equal(np.concatenate([digits.train_labels, digits.test_labels]), source.target)
    assert (len(digits.train_labels), len(digits.test_labels)) == (1_297, 500)
    assert (digits.name, digits.classes, digits.shape) == ("digits", 10, (1, 8, 8))
    assert digits.train_images.max() == 16


def test_digits_that_were_altered_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(idx_module.SUMS, "test-labels-idx1-ubyte.gz", "0" * 64)
    with pytest.raises(DamageError, match=r"test-labels-idx1-ubyte\.gz is not the file"):
        load("digits")
