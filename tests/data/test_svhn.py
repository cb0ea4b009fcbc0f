"""MATLAB 5 files against SciPy, which writes them; SVHN out of them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.io import loadmat, savemat

from prunescope.data import load
from prunescope.data.dataset import DatasetPart
from prunescope.data.svhn import read_mat
from prunescope.errors import InputError
from tests.data.formats import pictures, same, shrink

ANY = 10**6
kinds = st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
shapes = st.lists(st.integers(0, 5), min_size=2, max_size=4)


@given(kinds, shapes, st.booleans(), st.text("abcXY_", min_size=1, max_size=9))
def test_any_array_that_scipy_writes_is_read_as_scipy_reads_it(
    tmp_path_factory: pytest.TempPathFactory, kind: str, shape: list[int], compressed: bool, name: str
) -> None:
    path = tmp_path_factory.mktemp("mat") / "a.mat"
    array = np.random.default_rng(len(name)).integers(0, 120, shape).astype(kind)
    name = f"a{name}".rstrip("_")
    other = {"text": "words", "cell": np.array([1, "a"], object), "z": np.eye(2)}
    savemat(path, other | {name: array, "complex": np.ones(2) * 1j}, do_compression=compressed)
    arrays = read_mat(path, {name: ANY, "nothing": ANY, "text": ANY})
    assert list(arrays) == [name]
    np.testing.assert_array_equal(arrays[name], loadmat(path)[name])
    assert arrays[name].shape == tuple(shape)


def test_a_big_endian_file_with_narrow_values_is_read(tmp_path: Path) -> None:
    def element(kind: int, content: bytes) -> bytes:
        return struct.pack(">II", kind, len(content)) + content + bytes(-len(content) % 8)

    small = struct.pack(">HH", 3, 2) + bytes([1, 2, 3, 0])  # three bytes that stand in their tag: doubles, kept narrow
    parts = element(6, struct.pack(">II", 6, 0)) + element(5, struct.pack(">ii", 3, 1)) + element(1, b"y") + small
    wide = element(6, struct.pack(">II", 10, 0)) + element(5, struct.pack(">ii", 1, 2)) + element(1, b"X")
    wide += element(4, struct.pack(">HH", 7, 40_000))
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(">H", 0x0100) + b"MI"
    path = tmp_path / "big.mat"
    path.write_bytes(head + element(14, parts) + element(14, wide))
    arrays = read_mat(path, {"y": ANY, "X": ANY})
    assert arrays["y"].tolist() == loadmat(path)["y"].tolist() == [[1], [2], [3]]
    assert arrays["X"].tolist() == loadmat(path)["X"].tolist() == [[7, 40_000]]


@pytest.mark.parametrize("compressed", [False, True])
def test_no_damage_gets_past_the_refusals(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "a.mat"
    array = np.random.default_rng(0).integers(0, 255, (9, 40), dtype=np.uint8)
    savemat(path, {"X": array}, do_compression=compressed)
    whole = path.read_bytes()
    random = np.random.default_rng(1)
    refused = 0
    for trial in range(300):
        content = bytearray(whole)
        if trial % 3 == 0:
            content = content[: random.integers(len(whole))]
        else:
            content[random.integers(120, len(whole))] ^= 1 << random.integers(8)
        path.write_bytes(content)
        try:
            arrays = read_mat(path, {"X": 360}).get("X")
        except InputError as trouble:
            assert "a.mat: must" in str(trouble)  # noqa: PT017
            refused += 1
        else:
            assert not compressed or arrays is None or np.array_equal(arrays, array), "a wrong array, unnoticed"
    assert refused > 100


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "found an empty file"),
        (b"<html>" * 99, "found something else"),
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM", "version 7.3, which is HDF5"),
    ],
)
def test_other_files_are_named(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_mat(tmp_path / "a.mat", {"X": ANY})


def test_an_array_larger_than_it_can_be_is_not_unpacked(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"X": np.zeros((1000, 1000), np.uint8)}, do_compression=True)
    with pytest.raises(InputError, match="must hold X in at most 1,000 bytes; found 1,000,000"):
        read_mat(tmp_path / "a.mat", {"X": 1000})
    savemat(tmp_path / "a.mat", {"X": np.ones(3) * 1j})
    with pytest.raises(InputError, match="as real numbers; found complex"):
        read_mat(tmp_path / "a.mat", {"X": 1000})


def element(kind: int, content: bytes = b"") -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def matrix(name: bytes, dimensions: list[int], values: bytes) -> bytes:
    shape = struct.pack(f"<{len(dimensions)}i", *dimensions)
    head = element(6, struct.pack("<II", 9, 0)) + element(5, shape) + element(1, name)
    return element(14, head + element(2, values))


HEAD = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        (element(99) * 1_001, "must be a whole MATLAB 5 file; found more than 1,000 arrays"),
        (matrix(b"X", [0, *[2**31 - 1] * 5], b""), "must be a whole MATLAB 5 file"),
    ],
)
def test_a_file_that_was_made_to_do_harm_is_refused(tmp_path: Path, elements: bytes, words: str) -> None:
    (tmp_path / "a.mat").write_bytes(HEAD + elements)
    with pytest.raises(InputError, match=words):
        read_mat(tmp_path / "a.mat", {"X": ANY, "y": ANY})


def test_an_array_that_stands_twice_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_bytes(HEAD + matrix(b"X", [1, 1], b"a") + matrix(b"X", [1, 1], b"b"))
    assert read_mat(tmp_path / "a.mat", {"X": ANY, "y": ANY})["X"].tolist() == [[ord("a")]]


def matlab(part: DatasetPart) -> dict[str, NDArray[Any]]:
    labels = np.where(part.labels == 0, 10, part.labels).astype(np.uint8)
    return {"X": part.images.transpose(2, 3, 1, 0), "y": labels[:, None]}


@pytest.mark.parametrize("where", [".", "svhn", "SVHN"])
@pytest.mark.parametrize("labels", ["u1", "f8"])
def test_svhn_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, labels: str) -> None:
    parts = pictures(shrink(monkeypatch, "svhn", 1_500, 30), (3, 32, 32))
    (tmp_path / where).mkdir(exist_ok=True)
    for name, part in zip(("train", "test"), parts, strict=True):
        arrays = matlab(part)
        arrays["y"] = arrays["y"].astype(labels)
        savemat(tmp_path / where / f"{name}_32x32.mat", arrays, do_compression=name == "train")
    same(load("svhn", tmp_path, fetch=False), *parts)


def test_both_files_of_svhn_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = pictures(shrink(monkeypatch, "svhn"), (3, 32, 32))
    savemat(tmp_path / "train_32x32.mat", {"X": matlab(train)["X"]})
    savemat(tmp_path / "test_32x32.mat", matlab(test) | {"y": np.zeros((20, 1))})
    with pytest.raises(InputError) as raised:
        load("svhn", tmp_path, fetch=False)
    assert [str(fault) for fault in raised.value.faults] == [
        "train_32x32.mat: must hold the arrays X and y; found no y",
        "test_32x32.mat: must hold y as 20 whole numbers from 1 to 10; found 20 numbers, 0 to 0",
    ]
    savemat(tmp_path / "test_32x32.mat", matlab(test) | {"y": np.full((20, 1), np.nan)})
    with pytest.raises(InputError, match="must hold y as 20 whole numbers"):
        load("svhn", tmp_path, fetch=False)
    savemat(tmp_path / "train_32x32.mat", matlab(train) | {"X": matlab(train)["X"][:16]})
    savemat(tmp_path / "test_32x32.mat", matlab(test) | {"y": np.zeros((0, 1))})
    with pytest.raises(InputError) as raised:
        load("svhn", tmp_path, fetch=False)
    assert [str(fault) for fault in raised.value.faults] == [
        "train_32x32.mat: must hold X as uint8 32 x 32 x 3 x 50; found uint8 16 x 32 x 3 x 50",
        "test_32x32.mat: must hold y as 20 whole numbers from 1 to 10; found 0 numbers",
    ]
