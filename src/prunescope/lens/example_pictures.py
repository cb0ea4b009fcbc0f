"""Pictures of single examples, where their dataset is on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prunescope.data import EncodedPictures, load, own_name, read_own
from prunescope.data.dataset import Images
from prunescope.errors import Fault, InputError, MissingPackageError, listed


@dataclass(frozen=True, eq=False)
class ExamplePictures:
    """Training pictures of a dataset.

    Attributes
    ----------
    images
        uint8 [n, channels, height, width], in the requested order; None where the dataset is not on this machine.
    why
        Why there are none; empty otherwise.
    brightest
        The highest value in the dataset: 16 in the digits, 255 in most.
    """

    images: NDArray[np.uint8] | None
    why: str = ""
    brightest: int = 255

    @property
    def bright(self) -> NDArray[np.uint8] | None:
        """The images scaled to the full range up to 255."""
        if self.images is None:
            return None
        return np.asarray(self.images.astype(np.uint16) * 255 // max(self.brightest, 1), np.uint8)


def pictures(
    dataset: str, index: Sequence[int], folder: str | Path | None = None, place: str | Path = ""
) -> ExamplePictures:
    """Return training pictures by their index in the training set. Nothing is fetched.

    Parameters
    ----------
    dataset
        Its name, as in `CellResult.dataset`.
    index
        Indices, as in `Example.index`.
    folder
        Where the dataset's files are; without it where `prunescope.data.load` looks.
    place
        The file or folder of a user's own dataset, as in `CellResult.dataset_place`.
    """
    try:
        images = _images(dataset, folder, Path(place) if place else None)
    except (InputError, MissingPackageError) as trouble:
        return ExamplePictures(None, str(trouble))
    if images.dtype != np.uint8:
        return ExamplePictures(None, f"dataset {dataset} holds numbers that are no pixels")
    beyond = [place for place in index if not 0 <= place < len(images)]
    if beyond:
        fault = Fault("the index of an example", f"must be 0 to {len(images) - 1}", listed(beyond))
        raise InputError(f"dataset {dataset}", [fault])
    brightest = 255 if isinstance(images, EncodedPictures) else int(images.max(initial=0))
    return ExamplePictures(images[np.array(index, np.int64)], brightest=brightest)


def _images(dataset: str, folder: str | Path | None, place: Path | None) -> Images:
    """Return the training pictures of a dataset by its name in rows."""
    if place is None:
        return load(dataset, folder, fetch=False).train_images
    own_data = read_own(own_name(str(place)))
    if own_data.section.label.rpartition("@")[2] != dataset.rpartition("@")[2]:
        raise InputError(f"dataset {dataset}", [Fault(str(place), "must hold what it held when it was trained on")])
    return own_data.dataset.train_images
