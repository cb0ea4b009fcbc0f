"""TinyImageNet from the folder that its makers' archive unpacks to, with pictures that the tests write."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from prunescope.data import load
from prunescope.data.imagenet import ANNOTATIONS, CLASSES
from prunescope.errors import Fault, InputError
from prunescope.study.catalogue import DATASETS, DatasetFacts

Image = pytest.importorskip("PIL.Image")

NAMES = ["n01443537", "n01629819", "n02056570", "n02099601"]
FACTS = DatasetFacts(16, 6, 4, (3, 64, 64))


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the dataset have few pictures."""
    monkeypatch.setitem(DATASETS, "tinyimagenet", FACTS)


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """Return a JPEG file of [height, width, 3] or, grey, [height, width]."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=95)
    return content.getvalue()


def decoded(content: bytes) -> NDArray[np.uint8]:
    """Return what a picture of three channels holds, channels first."""
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).transpose(2, 0, 1)


def write(
    folder: Path,
) -> tuple[tuple[NDArray[np.uint8], NDArray[np.int64]], tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Write a small TinyImageNet, every third picture grey; return its parts in the order that they are read in."""
    rng = np.random.default_rng(7)
    count = 0

    def picture(path: Path) -> NDArray[np.uint8]:
        nonlocal count
        count += 1
        shape = (64, 64) if count % 3 == 0 else (64, 64, 3)
        content = jpeg(rng.integers(0, 256, shape, dtype=np.uint8))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return decoded(content)

    (folder / "val" / "images").mkdir(parents=True)
    (folder / CLASSES).write_text("\n".join(reversed(NAMES)) + "\n")
    images, labels = [], []
    for number, name in enumerate(NAMES):
        for index in range(4):
            images.append(picture(folder / "train" / name / "images" / f"{name}_{index}.JPEG"))
            labels.append(number)
        (folder / "train" / name / f"{name}_boxes.txt").write_text("boxes that nobody needs\n")
    tests, answers, lines = [], [], []
    for index in range(6):
        tests.append(picture(folder / "val" / "images" / f"val_{index}.JPEG"))
        answers.append((index * 3) % 4)
        lines.append(f"val_{index}.JPEG\t{NAMES[answers[-1]]}\t0\t32\t44\t62\n")
    (folder / ANNOTATIONS).write_text("".join(reversed(lines)))
    (folder / "test" / "images").mkdir(parents=True)
    return (np.stack(images), np.array(labels)), (np.stack(tests), np.array(answers))


def faults(folder: Path) -> list[Fault]:
    with pytest.raises(InputError) as raised:
        load("tinyimagenet", folder)
    return list(raised.value.faults)


@pytest.mark.parametrize("where", [".", "tinyimagenet", "tiny-imagenet-200"])
def test_tiny_imagenet_is_read_from_its_folder(tmp_path: Path, where: str) -> None:
    train, test = write(tmp_path / where)
    data = load("tinyimagenet", tmp_path)
    for actual, expected in zip(
        (data.train_images, data.train_labels, data.test_images, data.test_labels), (*train, *test), strict=True
    ):
        np.testing.assert_array_equal(actual, expected)
    assert (data.classes, data.shape) == (4, (3, 64, 64))
    grey = data.train_images[2]
    assert (grey[0] == grey[1]).all()
    assert (grey[0] == grey[2]).all()


def test_damaged_pictures_are_named_and_counted_and_never_left_out(tmp_path: Path) -> None:
    write(tmp_path)
    damaged: dict[str, Callable[[bytes], bytes]] = {
        f"train/{NAMES[0]}/images/{NAMES[0]}_1.JPEG": lambda content: content[: len(content) // 2],
        f"train/{NAMES[2]}/images/{NAMES[2]}_3.JPEG": lambda content: b"",
        "val/images/val_4.JPEG": lambda content: jpeg(np.zeros((64, 63, 3), np.uint8)),
    }
    for place, change in damaged.items():
        (tmp_path / place).write_bytes(change((tmp_path / place).read_bytes()))
    total, *named = faults(tmp_path)
    assert total.found == "3 pictures that are not"
    assert [fault.place.strip("'") for fault in named] == list(damaged)
    assert named[2].found == "63 x 64"


def test_of_many_damaged_pictures_some_are_named_and_all_are_counted(tmp_path: Path) -> None:
    write(tmp_path)
    for path in [*tmp_path.glob("train/*/images/*"), *tmp_path.glob("val/images/*")]:
        path.write_bytes(b"\xff\xd8\xff not a picture")
    total, *named = faults(tmp_path)
    assert total.found == "22 pictures that are not"
    assert len(named) == 20


def test_what_is_not_the_official_folder_is_told_before_a_picture_is_read(tmp_path: Path) -> None:
    write(tmp_path)
    extra = tmp_path / "train" / NAMES[1] / "images"
    (extra / f"{NAMES[1]}_0.JPEG").unlink()
    for path in (tmp_path / "train" / NAMES[3] / "images").iterdir():
        path.unlink()
    lines = (tmp_path / ANNOTATIONS).read_text().splitlines()
    (tmp_path / ANNOTATIONS).write_text("\n".join([*lines[:5], "val_0.JPEG\tn99999999\t0\t0\t1\t1"]))
    for path in tmp_path.glob("val/images/*"):
        path.write_bytes(b"nobody reads this")
    told = faults(tmp_path)
    assert [(fault.place, fault.found) for fault in told[:2]] == [
        (f"train/{NAMES[1]}/images", "3"),
        (f"train/{NAMES[3]}/images", "0"),
    ]
    assert told[2].place == f"{ANNOTATIONS}, line 6"
    (tmp_path / CLASSES).write_text(NAMES[0])
    assert [(fault.place, fault.found) for fault in faults(tmp_path)] == [(CLASSES, "1")]
    (tmp_path / CLASSES).write_text("\n".join(["..", "/etc", *NAMES[:2]]))
    assert [fault.place for fault in faults(tmp_path)] == [CLASSES]


def test_a_missing_class_folder_and_a_short_list_are_told(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "train" / NAMES[0]).rename(tmp_path / "elsewhere")
    lines = (tmp_path / ANNOTATIONS).read_text().splitlines()
    (tmp_path / ANNOTATIONS).write_text("\n".join(lines[:4]))
    assert [fault.place for fault in faults(tmp_path)] == [f"train/{NAMES[0]}/images", ANNOTATIONS]


def test_it_is_not_fetched_and_the_error_says_what_to_unpack(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path)
    assert fault.place == "its files"
    assert "tiny-imagenet-200.zip" in fault.hint
    (tmp_path / CLASSES).write_text("\n".join(NAMES))
    assert "its files" in {fault.place for fault in faults(tmp_path)}


def test_a_dataset_that_this_machine_cannot_hold_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    monkeypatch.setattr("prunescope.data.raw.most_bytes", lambda: 16 * 3 * 64 * 64 - 1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=16 * 3 * 64 * 64 - 1))
    (fault,) = faults(tmp_path)
    assert fault.found == f"{16 * 3 * 64 * 64 - 1:,}"
