"""TinyImageNet, as its makers' archive unpacks: JPEG pictures by class to train on, others with a list of classes.

`train/CLASS/images/*.JPEG` are the training pictures. Those of `test` have no published labels, so the validation
pictures test, as everywhere in the field: `val/images`, whose classes are in `val/val_annotations.txt`. Some pictures
are grey, and become three equal channels. Classes count in the order of their names, pictures in that of theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from prunescope.data.dataset import DatasetPart
from prunescope.data.layouts import FaultCollector, FileLayout, refusal
from prunescope.data.picture_folder import PictureFile, decoded
from prunescope.data.raw import empty_array, read_bytes
from prunescope.errors import Fault, InputError, clipped, counted
from prunescope.study.catalogue import DATASETS, DatasetFacts

CLASSES, ANNOTATIONS = "wnids.txt", "val/val_annotations.txt"
_ENDING = ".jpeg"
_MOST_NAMED = 20  # damaged pictures; all are counted
_MOST_FILE = 1_000_000  # bytes of one picture, and of one list


def _read_tiny_imagenet(name: str, files: Mapping[str, Path]) -> tuple[DatasetPart, DatasetPart]:
    """Return training and test part from the folder that has the two lists."""
    facts, root = DATASETS[name], files[CLASSES].parent
    *lists, _ = listed_pictures(root, facts)
    damaged: list[Fault] = []
    train, test = (_decoded_part(root, pictures, facts.shape, damaged) for pictures in lists)
    if damaged:
        words = counted(len(damaged), "picture that is not", "pictures that are not")
        total = Fault("its pictures", f"must all be whole and {facts.shape[1]} x {facts.shape[2]} pixels", words)
        raise InputError(str(root), [total, *damaged[:_MOST_NAMED]])
    return train, test


def listed_pictures(root: Path, facts: DatasetFacts) -> tuple[list[PictureFile], list[PictureFile], tuple[str, ...]]:
    """Return the pictures that train, those that test, and the classes; raise all that is wrong together."""
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
    return train, test, tuple(numbers)


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
