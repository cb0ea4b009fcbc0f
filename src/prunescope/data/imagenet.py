"""ImageNet from its folders, ``train/CLASS/*.JPEG`` and ``val``, and datasets that were packed into one file.

The validation pictures test, as everywhere in the field: those of ``test`` have no published labels. They lie in
folders by class too, or side by side with a list, ``LOC_val_solution.csv``, as Kaggle has it. Classes count in the
order of their names, pictures in that of theirs. `packing` writes the file, whose pictures have a shorter side of 8/7
of what networks see: 256 for 224.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prunescope.data import tiny_imagenet
from prunescope.data.dataset import Dataset, DatasetPart, assembled
from prunescope.data.encoded_pictures import EncodedPictures
from prunescope.data.layouts import data_folder, refusal
from prunescope.data.packed_pictures import ENDING, PackedPictures, PictureFacts
from prunescope.data.packing import Packed, Progress, pack
from prunescope.data.picture_folder import ENDINGS, PictureFile, folder_entries, listed_files
from prunescope.data.raw import Faults, read_bytes
from prunescope.errors import Fault, InputError, clipped, listed
from prunescope.study.catalogue import DATASETS, DatasetFacts

SOLUTION = "LOC_val_solution.csv"
_INSIDE = Path("ILSVRC/Data/CLS-LOC")  # where Kaggle's archive has the folders
_MOST_LIST = 100_000_000  # bytes


@dataclass(frozen=True)
class ListedPictures:
    """The pictures of a dataset, before any is read."""

    root: Path
    train: Sequence[PictureFile]
    test: Sequence[PictureFile]
    classes: tuple[str, ...]


def imagenet_pictures(root: Path, facts: DatasetFacts) -> ListedPictures:
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


def _tiny_pictures(root: Path, facts: DatasetFacts) -> ListedPictures:
    base = root / "tiny-imagenet-200" if (root / "tiny-imagenet-200").is_dir() else root
    return ListedPictures(base, *tiny_imagenet.listed_pictures(base, facts))


_LISTS: Mapping[str, Callable[[Path, DatasetFacts], ListedPictures]] = {
    "imagenet": imagenet_pictures,
    "tinyimagenet": _tiny_pictures,
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
