"""ImageNet and TinyImageNet: their pictures, listed from the folders as unpacked, read, or packed into one file.

The validation pictures test, as everywhere in the field: those of ``test`` have no published labels. ImageNet's lie in
folders by class too, or side by side with a list, ``LOC_val_solution.csv``, as Kaggle has it; TinyImageNet's in
``val/images`` with ``val/val_annotations.txt``, and its training pictures in ``train/CLASS/images``. Classes count in
the order of their names, pictures in that of theirs. `packing` writes the file, whose pictures have a shorter side of
8/7 of what networks see: 256 for 224. TinyImageNet is small enough to be decoded at once; grey pictures become three
equal channels.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prunescope.data.coding import EncodedPictures
from prunescope.data.dataset import Dataset, DatasetPart, assembled
from prunescope.data.layouts import FaultCollector, FileLayout, data_folder, refusal
from prunescope.data.packed_pictures import ENDING, PackedPictures, PictureFacts
from prunescope.data.packing import Packed, Progress, pack
from prunescope.data.picture_folder import ENDINGS, PictureFile, decoded, folder_entries, listed_files
from prunescope.data.raw import Faults, empty_array, read_bytes
from prunescope.errors import Fault, InputError, clipped, counted, listed
from prunescope.study.catalogue import DATASETS, DatasetFacts

CLASSES, ANNOTATIONS = "wnids.txt", "val/val_annotations.txt"
SOLUTION = "LOC_val_solution.csv"
_INSIDE = Path("ILSVRC/Data/CLS-LOC")  # where Kaggle's archive has the folders
_MOST_LIST = 100_000_000  # bytes of Kaggle's list
_ENDING = ".jpeg"
_MOST_NAMED = 20  # damaged pictures; all are counted
_MOST_FILE = 1_000_000  # bytes of one picture, and of one list


@dataclass(frozen=True)
class ListedPictures:
    """The pictures of a dataset, before any is read."""

    root: Path
    train: Sequence[PictureFile]
    test: Sequence[PictureFile]
    classes: tuple[str, ...]


def _read_tiny_imagenet(name: str, files: Mapping[str, Path]) -> tuple[DatasetPart, DatasetPart]:
    """Return training and test part from the folder that has the two lists."""
    facts, root = DATASETS[name], files[CLASSES].parent
    pictures = _tiny_pictures(root, facts)
    damaged: list[Fault] = []
    train, test = (_decoded_part(root, part, facts.shape, damaged) for part in (pictures.train, pictures.test))
    if damaged:
        words = counted(len(damaged), "picture that is not", "pictures that are not")
        total = Fault("its pictures", f"must all be whole and {facts.shape[1]} x {facts.shape[2]} pixels", words)
        raise InputError(str(root), [total, *damaged[:_MOST_NAMED]])
    return train, test


def _tiny_pictures(root: Path, facts: DatasetFacts) -> ListedPictures:
    """List TinyImageNet's pictures; raise all that is wrong with the lists and folders together."""
    gathered = FaultCollector(str(root))
    train: list[PictureFile] = []
    test: list[PictureFile] = []
    numbers: dict[str, int] = {}
    with gathered.file():
        numbers = _class_numbers(_lines(root, CLASSES), facts.classes)
        for label, number in numbers.items():
            with gathered.file():
                train += _training_pictures(root, label, number, facts.train // facts.classes)
        with gathered.file():
            test = _validation_pictures(_lines(root, ANNOTATIONS), numbers, facts.test)
    gathered.tell()
    return ListedPictures(root, train, test, tuple(numbers))


def _lines(root: Path, name: str) -> list[str]:
    content = read_bytes(root / name, name, _MOST_FILE)
    return [line for line in content.decode("utf-8", "replace").splitlines() if line.strip()]


def _class_numbers(lines: Sequence[str], count: int) -> dict[str, int]:
    """Return the number of each class by its name."""
    names = sorted({line.strip() for line in lines})
    if len(names) != count or any(not name.isalnum() for name in names):
        raise refusal(CLASSES, f"must name {count:,} classes, one on a line", f"{len(names):,}")
    return {name: number for number, name in enumerate(names)}


def _training_pictures(root: Path, label: str, number: int, count: int) -> list[PictureFile]:
    """Return the training pictures of one class."""
    place = f"train/{label}/images"
    try:
        names = sorted(entry.name for entry in (root / place).iterdir() if entry.suffix.lower() == _ENDING)
    except OSError as trouble:
        raise refusal(place, "must be a folder that can be read", trouble.strerror or str(trouble)) from None
    if len(names) != count:
        raise refusal(place, f"must hold {counted(count, 'picture')} (.JPEG)", f"{len(names):,}", "Unpack it again.")
    return [PictureFile(f"{place}/{name}", number) for name in names]


def _validation_pictures(lines: Sequence[str], numbers: Mapping[str, int], count: int) -> list[PictureFile]:
    """Return the pictures that a list of annotations names: picture, class, and a box that nobody needs here."""
    labels: dict[str, str] = {}
    for row, line in enumerate(lines, 1):
        name, _, rest = line.partition("\t")
        label = rest.split("\t")[0].strip()
        if label not in numbers or not name.lower().endswith(_ENDING) or "/" in name or "\\" in name:
            must = "must name a picture and its class, with tabs between"
            raise refusal(f"{ANNOTATIONS}, line {row}", must, clipped(line))
        labels[name] = label
    if len(labels) != count:
        raise refusal(ANNOTATIONS, f"must name {count:,} pictures", f"{len(labels):,}")
    return [PictureFile(f"val/images/{name}", numbers[labels[name]]) for name in sorted(labels)]


def _decoded_part(
    root: Path, pictures: Sequence[PictureFile], shape: tuple[int, int, int], damaged: list[Fault]
) -> DatasetPart:
    """Return the pixels and labels of pictures; note the damaged ones, whose pixels are left as they come."""
    images = empty_array((len(pictures), *shape), np.uint8, str(root))
    for index, picture in enumerate(pictures):
        place = clipped(picture.place)
        try:
            pixels = decoded(read_bytes(root / picture.place, place, _MOST_FILE), picture.place, colour=True)
            if pixels.shape != shape:
                size = f"{pixels.shape[2]} x {pixels.shape[1]}"
                raise refusal(place, f"must be {shape[2]} x {shape[1]} pixels", size)
        except InputError as trouble:
            damaged += trouble.faults
        else:
            images[index] = pixels
    return DatasetPart(images, np.array([picture.label for picture in pictures], np.int64))


LAYOUTS = {
    "tinyimagenet": (
        FileLayout(
            (CLASSES, ANNOTATIONS), _read_tiny_imagenet, ("tiny-imagenet-200",), archive="tiny-imagenet-200.zip"
        ),
    )
}


def _imagenet_pictures(root: Path, facts: DatasetFacts) -> ListedPictures:
    """List ImageNet's pictures; raise all that is wrong with the folders together."""
    base = root / _INSIDE if (root / _INSIDE / "train").is_dir() else root
    faults = Faults(str(root))
    for name in ("train", "val"):
        if not (base / name).is_dir():
            present = listed((entry.name for entry in folder_entries(base)), 8) if base.is_dir() else ""
            faults.add(name, "must be a folder of pictures by class", present or "nothing")
    faults.tell()
    classes = tuple(entry.name for entry in folder_entries(base / "train") if entry.is_dir())
    if len(classes) != facts.classes:
        faults.add("train", f"must hold a folder for each of {facts.classes:,} classes", f"{len(classes):,}")
        faults.tell()
    train = listed_files(base, "train", classes, faults)
    test: list[PictureFile] = []
    with faults.file():
        flat = any(entry.suffix.lower() in ENDINGS for entry in folder_entries(base / "val"))
        test = _solved(root, base, classes) if flat else listed_files(base, "val", classes, faults)
    faults.tell()
    for name, files, count in (("train", train, facts.train), ("val", test, facts.test)):
        if len(files) != count:
            hint = "A part of it can be read as a folder of your own." if len(files) < count else ""
            faults.add(name, f"must hold {count:,} pictures", f"{len(files):,}", hint)
    faults.tell()
    return ListedPictures(base, train, test, classes)


def _solved(root: Path, base: Path, classes: Sequence[str]) -> list[PictureFile]:
    """Return validation pictures that lie side by side, with the classes that a list gives them."""
    names = sorted(entry.name for entry in folder_entries(base / "val") if entry.suffix.lower() in ENDINGS)
    list_ = next((folder / SOLUTION for folder in (root, base) if (folder / SOLUTION).is_file()), None)
    if list_ is None:
        hint = f"Put them into folders by class, or Kaggle's {SOLUTION} beside the folders."
        raise refusal("val", "must have labels", "pictures side by side without a list", hint)
    numbers = {name: number for number, name in enumerate(classes)}
    labels: dict[str, int] = {}
    lines = read_bytes(list_, SOLUTION, _MOST_LIST).decode("utf-8", "replace").splitlines()
    for row, line in enumerate(lines[1:], 2):
        name, _, rest = line.partition(",")
        label = rest.split(" ")[0]
        if label not in numbers:
            raise refusal(f"{SOLUTION}, line {row}", "must name a picture and a class that train has", clipped(line))
        labels[name] = numbers[label]
    absent = [name for name in names if Path(name).stem not in labels]
    if absent:
        raise refusal(SOLUTION, "must have every picture of val", f"not {listed(map(clipped, absent), 4)}")
    return [PictureFile(f"val/{name}", labels[Path(name).stem]) for name in names]


def _unpacked_tiny_pictures(root: Path, facts: DatasetFacts) -> ListedPictures:
    inside = root / "tiny-imagenet-200"
    return _tiny_pictures(inside if inside.is_dir() else root, facts)


_LISTS: Mapping[str, Callable[[Path, DatasetFacts], ListedPictures]] = {
    "imagenet": _imagenet_pictures,
    "tinyimagenet": _unpacked_tiny_pictures,
}
PACKED = tuple(_LISTS)
"""Datasets that `pack_dataset` makes a file of."""


def pack_dataset(
    name: str,
    source: str | Path,
    target: str | Path | None = None,
    *,
    threads: int | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Packed:
    """Write the pictures of a dataset's folders into one file, from which runs stream them.

    One that was begun is gone on with.

    Parameters
    ----------
    name
        ``imagenet``, whose pictures are encoded anew, or ``tinyimagenet``, whose pixels are kept as they are.
    target
        The file, ``NAME.pictures``, or its folder; None: where `load` looks for datasets.
    threads
        How many decode and encode; None: one for each core.
    """
    if name not in PACKED:
        raise InputError("the dataset", [Fault("its name", f"must be {' or '.join(PACKED)}", clipped(name))])
    root = Path(source).expanduser()
    if not root.is_dir():
        raise InputError(str(root), [Fault("the folder", "must be one that has the dataset", "nothing there")])
    facts = DATASETS[name]
    pictures = _LISTS[name](root, facts)
    kind, side = ("jpeg", facts.shape[1] * 8 // 7) if name == "imagenet" else ("pixels", facts.shape[1])
    content = PictureFacts(name, kind, facts.train, facts.test, facts.shape, side, pictures.classes)  # type: ignore[arg-type]
    path = Path(target).expanduser() if target is not None else data_folder(None)
    file = f"{name}{ENDING}"
    if path.suffix != ENDING:
        path = path / file
    if path.name != file:
        hint = "By that name it is found."
        raise InputError(str(path), [Fault("the file", f"must be called {file}", path.name, hint)])
    count = threads or len(os.sched_getaffinity(0))
    both = (*pictures.train, *pictures.test)
    return pack(pictures.root, both, content, path, threads=count, on_progress=on_progress)


def packed_file(name: str, folders: Iterable[Path]) -> Path | None:
    """Return where the file of a packed dataset is; None where no folder has it."""
    places = (base / f"{name}{ENDING}" for folder in folders for base in (folder / name, folder))
    return next((path for path in places if path.is_file()), None)


def read_packed(name: str, path: Path) -> Dataset:
    """Return a dataset whose pictures stay in their file until they are needed."""
    file, facts = PackedPictures(path), DATASETS[name]
    here = file.facts
    expected = (name, facts.train, facts.test, facts.shape, facts.classes)
    if (here.dataset, here.train, here.test, here.shape, len(here.classes)) != expected:
        got = f"{here.train:,} and {here.test:,} pictures of {clipped(here.dataset)} in {len(here.classes):,} classes"
        must = f"must hold {facts.train:,} and {facts.test:,} pictures of {name} in {facts.classes:,} classes"
        raise refusal(str(path), must, got)
    labels = file.records["label"].astype(np.int64)
    labels.flags.writeable = False
    train, test = slice(0, here.train), slice(here.train, here.train + here.test)
    if here.kind == "pixels":
        pixels = file.pixels()
        parts = DatasetPart(pixels[train], labels[train]), DatasetPart(pixels[test], labels[test])
        return assembled(name, *parts, source=str(path), known=file.moments())
    mean, std = file.moments()
    images = EncodedPictures(file, train), EncodedPictures(file, test)
    return Dataset(name, images[0], labels[train], images[1], labels[test], facts.classes, mean, std)
