"""A user's own arrays: wrong ones are told by name, and no file harms whoever reads it."""

from __future__ import annotations

import io
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prunescope.data import raw as limits
from prunescope.data import read_own
from prunescope.errors import InputError
from tests.data.test_own import SHAPE, faults_of, made, same, saved


@pytest.mark.parametrize(
    ("change", "place", "words"),
    [
        ({"test_images": None}, "the arrays", "must have test_images"),
        ({"train_labels": np.arange(11) % 3}, "train_labels", "must be 12"),
        ({"test_labels": np.full(6, 7)}, "test_labels", "must be classes that the training part has; found 7"),
        ({"train_labels": np.zeros(12, int)}, "train_labels", "2 to 10,000 classes"),
        ({"train_labels": np.eye(12)}, "train_labels", "argmax(1)"),
        ({"train_labels": np.linspace(0, 1, 12)}, "train_labels", "whole numbers or texts"),
        ({"train_labels": np.array(["a"] * 12)}, "test_labels", "the kind of the training labels"),
        ({"test_images": np.zeros((6, 5, 4), np.uint8)}, "test_images", "must have the shape of the training part"),
        ({"test_images": np.zeros((6, *SHAPE), np.float32)}, "test_images", "must be uint8"),
        ({"train_images": np.full((12, *SHAPE), np.nan)}, "train_images", "must be finite"),
        ({"train_images": np.full((12, *SHAPE), 1e300)}, "train_images", "fit into 32 bits"),
        ({"train_images": np.full((12, *SHAPE), 256)}, "train_images", "0 to 255"),
        ({"train_images": np.full((12, *SHAPE), 1j)}, "train_images", "0 to 255"),
        ({"train_images": np.zeros(12, np.uint8)}, "train_images", "[n, features]"),
        ({"train_images": np.zeros((12, 0, 5), np.uint8)}, "train_images", "[n, features]"),
        ({"train_images": np.zeros((12, *SHAPE), np.uint8)}, "train_images", "must differ"),
        ({"trian_images": np.zeros(3)}, "'trian_images'", "Did you mean 'train_images'?"),
        ({"x_train": np.zeros((12, 7))}, "'x_train'", "must not be there beside another"),
        ({"val_images": np.zeros((2, *SHAPE), np.uint8)}, "the arrays", "must have validation_labels"),
    ],
)
def test_wrong_arrays_are_told_by_name(tmp_path: Path, change: dict[str, Any], place: str, words: str) -> None:
    arrays = {name: values for name, values in (made() | change).items() if values is not None}
    faults = faults_of(saved(tmp_path / "a.npz", arrays))
    assert words in faults[place]


def test_faults_of_several_arrays_are_told_together(tmp_path: Path) -> None:
    arrays = made() | {"train_images": np.full((12, *SHAPE), np.inf), "test_labels": np.zeros((6, 3))}
    assert set(faults_of(saved(tmp_path / "a.npz", arrays))) == {"train_images", "test_labels"}


def test_a_pickle_in_a_file_is_refused_and_never_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    arrays = made() | {"train_labels": np.array([Bomb()] * 12, object)}
    assert "a pickle, which is never run" in faults_of(saved(tmp_path / "a.npz", arrays))["train_labels"]
    assert not (tmp_path / "ran").exists()


def test_a_file_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = made() | {"train_images": np.zeros((12, 2000, 2000), np.uint8)}
    np.savez_compressed(tmp_path / "a.npz", **arrays)  # type: ignore[arg-type]
    assert (tmp_path / "a.npz").stat().st_size < 100_000
    monkeypatch.setattr(limits, "MOST_BYTES", 1_000_000)
    assert "must hold at most 1,000,000 bytes" in faults_of(str(tmp_path / "a.npz"))["a.npz"]


def test_a_header_that_promises_more_than_there_is_makes_no_array(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    saved(path, {name: values for name, values in made().items() if name != "train_images"})
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 10**6)})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("train_images.npy", stream.getvalue() + b"1234")
    assert "1,000,000,000,000 bytes" in faults_of(str(path))["train_images"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"text"])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    assert "must be a whole .npz file" in faults_of(str(tmp_path / "a.npz"))["a.npz"]


def test_a_damaged_archive_is_refused_wherever_it_was_cut_or_flipped(tmp_path: Path) -> None:
    whole = Path(saved(tmp_path / "a.npz", made())).read_bytes()
    reference = read_own(str(tmp_path / "a.npz"))
    rng = np.random.default_rng(3)
    for _ in range(150):
        content = bytearray(whole)
        if rng.random() < 0.3:
            del content[rng.integers(len(content)) :]
        else:
            content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        (tmp_path / "a.npz").write_bytes(content)
        with suppress(InputError):
            assert same(read_own(str(tmp_path / "a.npz")), reference)  # what was hit decides nothing


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("def birds(): return 1 / 0", "birds_of_mine:birds", "ZeroDivisionError"),
        ("def birds(): return [1]", "birds_of_mine:birds", "must return a dict"),
        ("def birds(): return {}", "the arrays", "must have train_images"),
        ("def birds(): return dict(train=[], test=[1])", "train", "1 to 10,000,000 examples"),
        ("def birds(): return dict(train=3, test=[1])", "train", "must be a Dataset"),
        ("def birds(): return dict(train=[(np.ones(3), 0), (np.ones(4), 1)], test=[])", "train[1]", "float64 [3]"),
        ("def birds(): return dict(train=[(np.ones(3), [0, 1])], test=[])", "train[0]", "whole number"),
    ],
)
def test_a_function_that_returns_no_dataset_is_told_so(module: Any, text: str, place: str, words: str) -> None:
    assert words in faults_of(module(text))[place]
