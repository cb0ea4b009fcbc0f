"""Pack the digits that come with prunescope, from the copy that scikit-learn has of UCI's test pictures.

python -m tools.digits FOLDER
"""

from __future__ import annotations

import gzip
import hashlib
import struct
import sys
from pathlib import Path

import numpy as np

TRAIN = 1_297


def packed() -> dict[str, bytes]:
    """Return the files by name: gzipped IDX, without time or name in them."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images, labels = digits.images.astype(np.uint8), digits.target.astype(np.uint8)
    files = {}
    for kind, part in (("train", slice(TRAIN)), ("test", slice(TRAIN, None))):
        for what, array in (("images", images[part]), ("labels", labels[part])):
            head = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape)
            files[f"{kind}-{what}-idx{array.ndim}-ubyte.gz"] = gzip.compress(head + array.tobytes(), 9, mtime=0)
    return files


def main(folder: str) -> None:
    """Write the files, and their SHA-256 to standard output."""
    for name, content in packed().items():
        (Path(folder) / name).write_bytes(content)
        sys.stdout.write(f'    "{name}": "{hashlib.sha256(content).hexdigest()}",\n')


if __name__ == "__main__":
    main(sys.argv[1])
