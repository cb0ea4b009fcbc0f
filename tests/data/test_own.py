"""A user's own datasets: all ways to write one are read as the same arrays, and faults are told with their place."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from prunescope.data import OwnData, load, read_datasets, read_own
from prunescope.data import raw as limits
from prunescope.data.own import changes
from prunescope.errors import InputError
from prunescope.study import Axes, Recipe, Study, parse_study, read_study

Arrays = dict[str, np.ndarray]
SHAPE = (4, 5)


def made(validation: int = 0, channels: int = 1) -> Arrays:
    """Return grey pictures, or those of several channels, of three classes in the order of the classes."""
    rng = np.random.default_rng(0)
    arrays: Arrays = {}
    for part, count in (("train", 12), ("test", 6), ("validation", validation)):
        if count:
            shape = (count, *SHAPE) if channels == 1 else (count, *SHAPE, channels)
            arrays[f"{part}_images"] = rng.integers(0, 256, shape, dtype=np.uint8)
            arrays[f"{part}_labels"] = np.sort(np.arange(count) % 3)
    return arrays


def saved(path: Path, arrays: Arrays) -> str:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return str(path)


def png(picture: np.ndarray, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, kind)
    return stream.getvalue()


def as_folder(folder: Path, arrays: Arrays, validation: str = "val") -> Path:
    for part, name in (("train", "train"), ("test", "test"), ("validation", validation)):
        if f"{part}_images" in arrays:
            pairs = zip(arrays[f"{part}_images"], arrays[f"{part}_labels"].tolist(), strict=True)
            for place, (picture, label) in enumerate(pairs):
                home = folder / name / "abc"[label]
                home.mkdir(parents=True, exist_ok=True)
                (home / f"{place:03}.png").write_bytes(png(picture))
    return folder


def as_parquet(folder: Path, arrays: Arrays, image: str = "image", label: str = "label") -> Path:
    (folder / "data").mkdir(parents=True)
    for part in ("train", "test", "validation"):
        if f"{part}_images" in arrays:
            images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"].tolist()
            for file, rows in enumerate(np.array_split(np.arange(len(labels)), 2)):
                pictures = [{"bytes": png(images[row]), "path": f"{row}.png"} for row in rows]
                table = pa.table({image: pictures, label: [labels[row] for row in rows]})
                pq.write_table(table, folder / "data" / f"{part}-{file:05}-of-00002.parquet")
    return folder


def faults_of(name: str) -> dict[str, str]:
    with pytest.raises(InputError) as refused:
        read_own(name)
    return {fault.place: str(fault) for fault in refused.value.faults}


def same(one: OwnData, other: OwnData) -> bool:
    return one.section.hash == other.section.hash and all(
        np.array_equal(getattr(one.dataset, name), getattr(other.dataset, name))
        for name in ("train_images", "train_labels", "test_images", "test_labels")
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_a_folder_parquet_and_a_function_of_the_same_pictures_are_one_dataset(
    tmp_path: Path, module: Any, channels: int
) -> None:
    arrays = made(validation=3, channels=channels)
    file = read_own(saved(tmp_path / "birds.npz", arrays))
    folder = read_own(f"{as_folder(tmp_path / 'pictures', arrays)}/")
    parquet = read_own(f"{as_parquet(tmp_path / 'parquet', arrays)}/")
    function = read_own(module(f"def birds():\n    return dict(np.load({str(tmp_path / 'birds.npz')!r}))"))
    assert same(file, folder)
    assert same(file, parquet)
    assert same(file, function)
    assert folder.class_names == ("a", "b", "c")
    assert file.section.validation == file.dataset.validation == 3
    assert file.dataset.shape == (channels, *SHAPE)
    wanted = arrays["train_images"][:, None] if channels == 1 else np.moveaxis(arrays["train_images"], -1, 1)
    assert np.array_equal(file.dataset.train_images[:12], wanted)
    mean = wanted.mean((0, 2, 3))
    assert np.allclose(file.dataset.mean, mean)  # of the training part alone
    assert [file.section.label, function.section.label] == [f"birds@{file.section.hash[:12]}"] * 2
    assert folder.section.label.startswith("pictures@")


def test_the_digits_from_a_file_have_the_scaling_that_they_have_by_name(tmp_path: Path) -> None:
    digits = load("digits")
    names = ("train_images", "train_labels", "test_images", "test_labels")
    own = load(saved(tmp_path / "own.npz", {name: getattr(digits, name) for name in names}))
    assert (own.mean, own.std, own.classes, own.shape) == (digits.mean, digits.std, digits.classes, digits.shape)
    assert np.array_equal(own.train_images, digits.train_images)
    assert not own.train_images.flags.writeable


@pytest.mark.parametrize(
    ("shape", "read"),
    [
        ((7,), (1, 1, 7)),
        ((4, 5), (1, 4, 5)),
        ((3, 4, 5), (3, 4, 5)),
        ((4, 5, 3), (3, 4, 5)),
        ((1, 4, 4), (1, 4, 4)),
        ((3, 8, 3), (3, 8, 3)),
        ((9, 4, 5), (9, 4, 5)),
        ((4, 5, 6), (4, 5, 6)),
        ((5, 6, 4), (4, 5, 6)),
    ],
)
def test_the_place_of_the_channels_is_told_from_the_shape(
    tmp_path: Path, shape: tuple[int, ...], read: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(1)
    arrays = made() | {
        f"{part}_images": rng.integers(0, 9, (count, *shape), dtype=np.uint8)
        for part, count in (("train", 12), ("test", 6))
    }
    assert read_own(saved(tmp_path / "a.npz", arrays)).dataset.shape == read


def test_floats_are_taken_as_they_are_and_labels_are_numbered_by_their_order(tmp_path: Path) -> None:
    rows = np.random.default_rng(2).normal(size=(18, 7))
    labels = np.array(["owl", "tit", "jay"])[np.arange(18) % 3]
    arrays = {"x_train": rows[:12], "y_train": labels[:12, None], "x_test": rows[12:], "y_test": labels[12:]}
    own = read_own(saved(tmp_path / "rows.npz", arrays))
    assert own.section.values == "float32"
    assert np.array_equal(own.dataset.train_images[:, 0, 0], rows[:12].astype(np.float32))
    assert (own.dataset.mean, own.dataset.std) == ((0.0,), (1.0,))
    assert own.class_names == ("jay", "owl", "tit")
    assert own.dataset.train_labels.tolist()[:3] == [1, 2, 0]


def test_datasets_of_torch_are_read_once(module: Any) -> None:
    torch = pytest.importorskip("torch")
    own = read_own(
        module(
            "import torch\n"
            "class Set(torch.utils.data.Dataset):\n"
            "    seen = []\n"
            "    def __init__(self, count): self.count = count\n"
            "    def __len__(self): return self.count\n"
            "    def __getitem__(self, i):\n"
            "        self.seen.append(i)\n"
            "        return torch.full((3, 4, 5), i / 10), i % 2\n"
            "def birds(): return dict(train=Set(6), test=Set(4), val=Set(2))\n"
        )
    )
    assert own.dataset.shape == (3, 4, 5)
    assert own.section.values == "float32"
    assert own.dataset.train_images[:6, 0, 0, 0].tolist() == pytest.approx(torch.arange(6).div(10).tolist())
    assert sys.modules["birds_of_mine"].Set.seen == [*range(6), *range(4), *range(2)]
    assert own.section.validation == 2


def test_a_changed_picture_is_another_dataset_and_its_file_is_named(tmp_path: Path) -> None:
    folder = as_folder(tmp_path / "pictures", made())
    before = read_own(f"{folder}/")
    (folder / "train" / "b" / "005.png").write_bytes(png(np.zeros(SHAPE, np.uint8)))
    (folder / "test" / "c" / "new.jpg").write_bytes(png(np.zeros(SHAPE, np.uint8), "JPEG"))
    after = read_own(f"{folder}/")
    assert before.section.hash != after.section.hash
    assert changes(before.marks, after.marks) == ["'train/b/005.png' has changed", "'test/c/new.jpg' is new"]
    arrays = made()
    one = read_own(saved(tmp_path / "a.npz", arrays))
    arrays["test_labels"] = arrays["test_labels"][::-1].copy()
    assert changes(one.marks, read_own(saved(tmp_path / "a.npz", arrays)).marks) == ["'test_labels' has changed"]


def test_a_folder_with_faults_is_told_all_of_them_by_file(tmp_path: Path) -> None:
    folder = as_folder(tmp_path / "pictures", made())
    (folder / "train" / "a" / "notes.txt").write_text("no picture")
    (folder / "train" / "loose.png").write_bytes(png(np.zeros(SHAPE, np.uint8)))
    (folder / "test" / "d").mkdir()
    (folder / "train" / ".DS_Store").write_text("passed over")
    (tmp_path / "outside").mkdir()
    (folder / "train" / "b" / "out.png").symlink_to(tmp_path / "outside" / "x.png")
    (folder / "test" / "out").symlink_to(tmp_path / "outside")
    faults = faults_of(f"{folder}/")
    assert set(faults) == {"'train/a/notes.txt'", "'train/loose.png'", "'test/d'", "'train/b/out.png'", "'test/out'"}
    assert "a link that leads out" in faults["'train/b/out.png'"]


def test_pictures_of_another_size_or_damaged_are_told_by_file(tmp_path: Path) -> None:
    folder = as_folder(tmp_path / "pictures", made())
    (folder / "train" / "a" / "zz.png").write_bytes(png(np.zeros((9, 9), np.uint8)))
    (folder / "test" / "a" / "zz.png").write_bytes(b"\x89PNG broken")
    deep = Image.fromarray(np.zeros(SHAPE, np.uint16))
    deep.save(folder / "test" / "b" / "deep.png")
    faults = faults_of(f"{folder}/")
    assert "must be 5 x 4 pixels" in faults["'train/a/zz.png'"]
    assert "must be a whole PNG or JPEG file" in faults["'test/a/zz.png'"]
    assert "must have 8 bits" in faults["'test/b/deep.png'"]
    assert len(faults) == 3


@pytest.mark.parametrize("parquet", [False, True])
def test_a_dataset_full_of_faults_is_given_up_after_some(tmp_path: Path, parquet: bool) -> None:
    arrays = made()
    arrays["train_images"] = np.zeros((80, 9, 9), np.uint8)
    arrays["train_labels"] = np.arange(80) % 3
    arrays["test_images"] = np.zeros((6, 8, 8), np.uint8)
    folder = (as_parquet if parquet else as_folder)(tmp_path / "pictures", arrays)
    if parquet:
        assert len(faults_of(f"{folder}/")) == 6
        return
    for path in (folder / "train").rglob("*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(InputError) as refused:
        read_own(f"{folder}/")
    assert len(refused.value.faults) == limits.MOST_FAULTS


def test_a_picture_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    folder = as_folder(tmp_path / "pictures", made())
    path = folder / "train" / "a" / "000.png"
    path.write_bytes(path.read_bytes()[:-25])
    assert set(faults_of(f"{folder}/")) == {"'train/a/000.png'"}


def test_colour_in_one_picture_makes_all_of_them_colour(tmp_path: Path) -> None:
    folder = as_folder(tmp_path / "pictures", made())
    (folder / "test" / "a" / "colour.png").write_bytes(png(np.full((*SHAPE, 3), (1, 2, 3), np.uint8)))
    own = read_own(f"{folder}/").dataset
    assert own.shape == (3, *SHAPE)
    assert np.array_equal(own.train_images[0, 0], own.train_images[0, 2])


def test_parquet_without_pictures_or_without_a_test_part_is_refused(tmp_path: Path) -> None:
    folder = as_parquet(tmp_path / "a", made(), label="class")
    assert "and one called label or labels or fine_label" in faults_of(f"{folder}/")["train-00000-of-00002.parquet"]
    folder = as_parquet(tmp_path / "b", {name: values for name, values in made().items() if "train" in name})
    assert set(faults_of(f"{folder}/")) == {"test-00000-of-00001.parquet"}
    folder = as_parquet(tmp_path / "c", made(), image="img", label="fine_label")
    assert read_own(f"{folder}/").section.train == 12
    path = folder / "data" / "train-00001-of-00002.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    assert set(faults_of(f"{folder}/")) == {path.name}


STUDY = """
name = "own"
replicates = 1
[axes]
dataset = "birds.npz"
family = "lenet"
depth = 2
width = 0.1
examples = ["all", "1/2"]
[recipe]
epochs = 1
batch = 4
learning_rate = 0.1
validation = 0.25
levels = 1
[[treatments]]
kind = "imp"
"""


def test_a_study_finds_its_datasets_beside_its_file_and_counts_their_examples(tmp_path: Path) -> None:
    own = read_own(saved(tmp_path / "birds.npz", made()))
    (tmp_path / "own.toml").write_text(STUDY)
    study = read_study(tmp_path / "own.toml")
    assert study.unread == ("birds.npz",)
    with pytest.raises(InputError, match="must be read before"):
        _ = study.ladders
    known, read = read_datasets(study)
    assert not known.unread
    assert list(read) == [own.section.label]
    assert [cell.examples for cell in known.cells] == [9, 4]  # 12 less a quarter; half of that
    assert {cell.dataset for cell in known.cells} == {own.section.label}
    assert parse_study(known.to_toml()).ladders == known.ladders  # a store knows its ladders without the file


def test_a_validation_part_is_used_instead_of_holding_out(tmp_path: Path) -> None:
    saved(tmp_path / "birds.npz", made(validation=3))
    (tmp_path / "own.toml").write_text(STUDY)
    known, _ = read_datasets(read_study(tmp_path / "own.toml"))
    assert [cell.examples for cell in known.cells] == [12, 6]


def test_the_hash_is_part_of_every_identity(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(STUDY)
    identities = []
    for flip in (False, True):
        arrays = made()
        arrays["test_images"][0, 0, 0] ^= int(flip)
        saved(tmp_path / "birds.npz", arrays)
        identities.append({ladder.identity for ladder in read_datasets(read_study(tmp_path / "own.toml"))[0].ladders})
    assert len(identities[0]) == 2
    assert not identities[0] & identities[1]


def test_a_study_that_says_what_its_dataset_held_refuses_another(tmp_path: Path) -> None:
    saved(tmp_path / "birds.npz", made())
    (tmp_path / "own.toml").write_text(STUDY)
    known, _ = read_datasets(read_study(tmp_path / "own.toml"))
    (tmp_path / "pinned.toml").write_text(known.to_toml())
    pinned = read_study(tmp_path / "pinned.toml")
    assert read_datasets(pinned, everything=True)[0] == known
    saved(tmp_path / "birds.npz", made(channels=3))
    with pytest.raises(InputError) as refused:
        read_datasets(pinned, everything=True)
    assert known.datasets[0].hash[:12] in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("[[datasets]]", '[[datasets]]\nfile = "x"', "datasets 1: file (line 18)", "is no key"),
        ('hash = "', 'hash = "../', "datasets 1: hash (line 19)", "64 hexadecimal digits"),
        ("classes = 3", "classes = 1", "datasets 1: classes", "must be 2 or more"),
        ("train = 12", "train = 10_000_000_000", "datasets 1: train", "10000000 or less"),
        ("shape = [", "shape = [1, ", "datasets 1: shape", "must"),
        ('name = "birds.npz"', 'name = "digits"', "datasets 1: name (line 18)", "must be a dataset of your own"),
    ],
)
def test_wrong_sections_on_datasets_are_told_with_their_line(
    tmp_path: Path, old: str, new: str, place: str, words: str
) -> None:
    own = read_own(saved(tmp_path / "birds.npz", made())).section.model_copy(update={"name": "birds.npz"})
    lines = [f"{key} = {json.dumps(value)}" for key, value in own.model_dump().items()]
    text = STUDY.strip() + "\n" + "\n".join(["[[datasets]]", *lines])
    assert parse_study(text).cells
    with pytest.raises(InputError) as refused:
        parse_study(text.replace(old, new))
    assert any(place in fault.place and words in str(fault) for fault in refused.value.faults), refused.value


def test_code_runs_only_when_it_may(module: Any, tmp_path: Path) -> None:
    name = module(f"open({str(tmp_path / 'ran')!r}, 'w').close()\ndef birds(): return {{}}")
    study = Study(
        name="code",
        axes=(Axes(dataset=(name,), family=("lenet",), depth=(2,), width=(0.1,)),),
        recipe=Recipe(epochs=1, batch=4, learning_rate=0.1, levels=1),
    )
    unread, read = read_datasets(study, run_code=False)
    assert (unread.unread, read) == ((name,), {})
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["birds.npz", "nowhere/", "/nowhere/birds.npz"])
def test_what_is_not_there_is_told_with_the_place(tmp_path: Path, name: str) -> None:
    (tmp_path / "own.toml").write_text(STUDY.replace("birds.npz", name))
    with pytest.raises(InputError) as refused:
        read_datasets(read_study(tmp_path / "own.toml"))
    (fault,) = refused.value.faults
    assert name.rstrip("/") in fault.place
    assert fault.found == "nothing there"


def test_a_picture_of_another_size_is_the_one_named_also_where_it_comes_first(tmp_path: Path) -> None:
    folder = as_folder(tmp_path / "pictures", made())
    (folder / "train" / "a" / "0.png").write_bytes(png(np.zeros((9, 9), np.uint8)))
    faults = faults_of(f"{folder}/")
    assert list(faults) == ["'train/a/0.png'"]
    assert "must be 5 x 4 pixels" in faults["'train/a/0.png'"]
