"""Encoded pictures of many sizes as an array of one: decoded when they are asked for, whole centres or parts of them.

What evaluates sees the centre of a picture whose shorter side is 8/7 as long. What trains may see any part, scaled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.data.coding import Pixels, decoded_strictly, resized
from prunescope.data.layouts import refusal
from prunescope.data.packed_pictures import PackedPictures

Part = tuple[int, int, int, int]
"""Top, left, height and width within a picture."""


class EncodedPictures:
    """Some pictures of a file, by their places: uint8 ``[n, channels, height, width]`` to whoever indexes them.

    Parameters
    ----------
    span
        Which of the file's pictures.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, file: PackedPictures, span: slice) -> None:
        self._file = file
        self._first = span.start
        self._records = file.records[span]
        self.shape = (len(self._records), *file.facts.shape)

    def __len__(self) -> int:
        return len(self._records)

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    @property
    def nbytes(self) -> int:
        """Bytes of all of them, decoded."""
        return int(np.prod(self.shape, dtype=np.int64))

    def sizes(self, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the heights and widths of pictures, before anything is cut away."""
        return self._records["height"][places].astype(np.int64), self._records["width"][places].astype(np.int64)

    def pixels(self, place: int, part: Part | None = None) -> Pixels:
        """Return a picture, [height, width, channels]: its centre, or a part scaled to the same size."""
        whole = self._decoded(place)
        _, height, width = self.shape[1:]
        if part is None:
            top, left = (whole.shape[0] - height) // 2, (whole.shape[1] - width) // 2
            return whole[top : top + height, left : left + width]
        top, left, high, wide = part
        return resized(whole[top : top + high, left : left + wide], height, width)

    def _decoded(self, place: int) -> Pixels:
        record = self._records[place]
        content = self._file.content(self._first + place)
        try:
            pixels = decoded_strictly(content)
        except ValueError as trouble:
            where = f"{self.path.name}, picture {self._first + place}"
            raise refusal(where, "must be a whole JPEG file", str(trouble)[:120]) from None
        if pixels.shape[:2] != (record["height"], record["width"]):
            where = f"{self.path.name}, picture {self._first + place}"
            raise refusal(where, "must have the size that the index has", f"{pixels.shape[1]} x {pixels.shape[0]}")
        return pixels

    def __getitem__(self, index: Any) -> NDArray[np.uint8]:
        """Return the centres of pictures by a slice, places or one place, channels first."""
        places = np.arange(len(self))[index]
        images = np.empty((places.size, *self.shape[1:]), np.uint8)
        for image, place in zip(images, places.ravel().tolist(), strict=True):
            image[...] = self.pixels(place).transpose(2, 0, 1)
        return images.reshape(*places.shape, *self.shape[1:])
