"""Small photographs, and the folders of ImageNet and TinyImageNet made of them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from prunescope.study.catalogue import DatasetFacts

PER_CLASS = 4
CLASSES = [f"n{number:08}" for number in range(4)]
FACTS = {
    "imagenet": DatasetFacts(len(CLASSES) * PER_CLASS, len(CLASSES), len(CLASSES), (3, 56, 56)),
    "tinyimagenet": DatasetFacts(len(CLASSES) * PER_CLASS, len(CLASSES), len(CLASSES), (3, 64, 64)),
}


def photograph(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Return pixels [height, width, 3] that vary smoothly, as photographs do."""
    coarse = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """Return pixels as a JPEG file."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=95)
    return content.getvalue()


def write_imagenet(
    folder: Path, classes: int = len(CLASSES), per_class: int = PER_CLASS, tests: int = 1
) -> dict[Path, NDArray[np.uint8]]:
    """Write pictures of many sizes by class; return their pixels by their paths."""
    rng = np.random.default_rng(3)
    pictures = {}
    for number in range(classes):
        name = f"n{number:08}"
        for part, count in (("train", per_class), ("val", tests)):
            for index in range(count):
                path = folder / part / name / f"{name}_{index}.JPEG"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = photograph(rng, *rng.integers(50, 130, 2).tolist())
                path.write_bytes(jpeg(pixels))
                pictures[path] = pixels
    return pictures


def write_tiny(folder: Path, per_class: int = PER_CLASS) -> None:
    """Write a small TinyImageNet."""
    rng = np.random.default_rng(4)
    (folder / "val" / "images").mkdir(parents=True)
    (folder / "wnids.txt").write_text("\n".join(CLASSES))
    for name in CLASSES:
        (folder / "train" / name / "images").mkdir(parents=True)
        for index in range(per_class):
            path = folder / "train" / name / "images" / f"{name}_{index}.JPEG"
            path.write_bytes(jpeg(photograph(rng, 64, 64)))
        (folder / "val" / "images" / f"{name}.JPEG").write_bytes(jpeg(photograph(rng, 64, 64)))
    lines = [f"{name}.JPEG\t{name}\t0\t0\t1\t1" for name in CLASSES]
    (folder / "val" / "val_annotations.txt").write_text("\n".join(lines))
