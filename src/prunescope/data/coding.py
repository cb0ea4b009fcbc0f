"""Encoded pictures to pixels and back: decoded strictly, and by Pillow where that refuses; and many as one array.

Pixels are [height, width, 3] bytes. What is computed here is computed with whole numbers, so it is the same on any
machine: libjpeg-turbo's exact transform, and Pillow's resampling, whose weights are rounded to 22 bits before use. An
array of pictures decodes them when they are asked for: what evaluates sees the centre of a picture whose shorter side
is 8/7 as long; what trains may see any part, scaled. Safe in many threads.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prunescope.data.layouts import refusal
from prunescope.data.packed_pictures import PackedPictures
from prunescope.errors import MissingPackageError, clipped, said

QUALITY = 90
MOST_SIDE = 16_384  # pixels
_MODES = ("1", "L", "LA", "RGB", "RGBA", "P", "PA", "CMYK", "YCbCr")
_JPEG = b"\xff\xd8"
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers that open a frame, whose first byte is the precision

Pixels = NDArray[np.uint8]


class DecodedPicture(NamedTuple):
    """Pixels, and whether Pillow read what the strict decoder refused."""

    pixels: Pixels
    lenient: bool


def _codec() -> Any:
    try:
        import simplejpeg
    except ImportError:
        words = "streaming pictures needs simplejpeg and Pillow: pip install 'prunescope[pictures]'"
        raise MissingPackageError(words) from None
    return simplejpeg


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise MissingPackageError("reading pictures needs Pillow: pip install 'prunescope[pictures]'") from None
    return Image


def decoded_strictly(content: bytes | memoryview) -> Pixels:
    """Return the pixels of a JPEG file; raise ValueError for what is damaged or is no JPEG."""
    pixels: Pixels = _codec().decode_jpeg(content, colorspace="RGB")
    return pixels


def decoded_picture(content: bytes, place: str) -> DecodedPicture:
    """Return the pixels of a JPEG or PNG file of any mode with 8 bits a channel; refuse what is damaged."""
    bits = _precision(content)
    if bits not in (0, 8):
        raise refusal(clipped(place), "must have 8 bits for each channel", str(bits))
    if bits and _is_plain(content):
        try:
            return DecodedPicture(decoded_strictly(content), False)
        except ValueError:  # Pillow may be more forgiving, and knows other kinds of JPEG
            pass
    image = _pillow()
    try:
        picture = image.open(io.BytesIO(content), formats=("PNG", "JPEG"))
        width, height = picture.size
        if not (1 <= width <= MOST_SIDE and 1 <= height <= MOST_SIDE):
            must = f"must be at most {MOST_SIDE:,} pixels wide and high"
            raise refusal(clipped(place), must, f"{width:,} x {height:,}")
        if picture.mode not in _MODES:
            raise refusal(clipped(place), "must have 8 bits for each channel", f"mode {picture.mode}")
        return DecodedPicture(np.array(picture.convert("RGB")), True)
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, image.DecompressionBombError) as trouble:
        words = said(trouble).split("<_io")[0].strip()[:120]
        raise refusal(clipped(place), "must be a whole PNG or JPEG file", words) from None


def _is_plain(content: bytes) -> bool:
    """Whether a JPEG file has colours that the strict decoder turns into red, green and blue."""
    try:
        height, width, colours, _ = _codec().decode_jpeg_header(content)
    except ValueError:
        return False
    return max(height, width) <= MOST_SIDE and colours in ("RGB", "YCbCr", "Gray")


def _precision(content: bytes) -> int:
    """Return the bits of a channel of a JPEG file, as its first frame has them; 0 where there is none."""
    place = 2 if content.startswith(_JPEG) else len(content)
    while place + 5 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker in _FRAMES:
            return content[place + 4]
        if marker == 0xFF:  # a fill byte
            place += 1
        else:
            place += 2 + int.from_bytes(content[place + 2 : place + 4])
    return 0


def encoded(pixels: Pixels) -> bytes:
    """Return pixels as a JPEG file of `QUALITY`, chroma at half the resolution as in most photographs."""
    content: bytes = _codec().encode_jpeg(
        np.ascontiguousarray(pixels), quality=QUALITY, colorspace="RGB", colorsubsampling="420"
    )
    return content


def resized(pixels: Pixels, height: int, width: int) -> Pixels:
    """Return pixels at another size, each the weighted mean of those that it covers."""
    if pixels.shape[:2] == (height, width):
        return pixels
    image = _pillow()
    scaled = image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), image.Resampling.BILINEAR)
    return np.asarray(scaled)


def with_shorter_side(pixels: Pixels, side: int) -> Pixels:
    """Return pixels with their shorter side ``side`` long, in the same proportions."""
    height, width = pixels.shape[:2]
    shorter = min(height, width)
    return resized(pixels, max(side, height * side // shorter), max(side, width * side // shorter))


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
