"""One picture's file to pixels and back: decoded strictly, and by Pillow where that refuses. Safe in many threads.

Pixels are [height, width, 3] bytes. What is computed here is computed with whole numbers, so it is the same on any
machine: libjpeg-turbo's exact transform, and Pillow's resampling, whose weights are rounded to 22 bits before use.
"""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prunescope.data.layouts import refusal
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
