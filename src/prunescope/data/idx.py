"""IDX files, the format of MNIST: a magic number, the length of each dimension, then bytes; gzipped or not.

Only what those files hold is read: unsigned bytes in one dimension (labels) or three (pictures).
"""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prunescope.data.fault_collector import refusal

KINDS = {1: "labels (an IDX file with magic number 2049)", 3: "pictures (an IDX file with magic number 2051)"}

_GZIP = b"\x1f\x8b"


def read_idx(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the labels (1 dimension) or pictures (3) of a file that has to hold ``shape[0]`` of them."""
    try:
        size, most = path.stat().st_size, _most_bytes(shape)
        if size > most:
            raise refusal(path.name, f"must hold at most {most:,} bytes", f"{size:,}")
        content = path.read_bytes()
    except OSError as trouble:
        raise refusal(path.name, "must be a file that can be read", trouble.strerror or str(trouble)) from None
    return parse_idx(content, path.name, shape)


def _most_bytes(shape: tuple[int, ...]) -> int:
    """Return how large a file can be: gzip adds little to what it cannot make smaller."""
    return math.prod(shape) * 101 // 100 + 65_536


def parse_idx(content: bytes, name: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return what the content of a file called ``name`` holds."""
    dimensions, count = len(shape), shape[0]
    head = 4 + 4 * dimensions
    start, _ = _unpacked(content, name, head)
    start = start[:head]
    if len(start) >= 4 and (magic := int.from_bytes(start[:4])) != 0x800 + dimensions:
        got = KINDS.get(magic - 0x800, f"magic number {magic}").split(" (")[0]
        raise refusal(name, f"must hold {KINDS[dimensions]}", got)
    if len(start) < head:
        raise refusal(name, f"must hold {KINDS[dimensions]}", f"{len(start)} bytes")
    lengths = struct.unpack_from(f">{dimensions}I", start, 4)
    what = KINDS[dimensions].split(" (")[0]
    if lengths[0] != count:
        raise refusal(name, f"must hold {count:,} {what}", f"{lengths[0]:,}")
    if lengths != shape:
        must = f"must hold pictures of {' x '.join(map(str, shape[1:]))} pixels"
        raise refusal(name, must, " x ".join(map(str, lengths[1:])))
    size = math.prod(shape)
    whole, ended = _unpacked(content, name, head + size)
    if len(whole) != head + size or not ended:
        got = "more" if len(whole) > head + size else f"{len(whole):,}: the file is cut off"
        raise refusal(name, f"must hold {head + size:,} bytes, for {count:,} {what}", got)
    return np.frombuffer(whole, np.uint8, size, head).reshape(shape)


def _unpacked(content: bytes, name: str, most: int) -> tuple[bytes, bool]:
    """Return the content, and whether it ends where it should.

    Of a gzip file at most ``most + 1`` bytes are unpacked, so that none can fill the memory; where it ends, zlib has
    compared its checksum.
    """
    if not content.startswith(_GZIP):
        return content, True
    stream = zlib.decompressobj(wbits=31)
    try:
        return stream.decompress(content, most + 1), stream.eof
    except zlib.error as trouble:
        raise refusal(name, "must be a sound gzip file", str(trouble), "Fetch it again.") from None
