"""The digits that come with prunescope: 1,797 pictures of 8 x 8, values 0 to 16.

Where they are from and who made them is in ``digits/README.md``.
"""

from __future__ import annotations

import hashlib
from importlib import resources

import numpy as np

from prunescope.data.dataset import DatasetPart
from prunescope.data.idx import parse_idx
from prunescope.errors import DamageError
from prunescope.study.catalogue import DATASETS

SUMS = {
    "train-images-idx3-ubyte.gz": "4c30f50127b923c6dee9f8b5d1f7ac311e63a7a56b9f4a77082129845eb793b2",
    "train-labels-idx1-ubyte.gz": "6975273f78e84060d44aaf12a803dc4ddae14f05fcd2f3b1b14797eae575e85f",
    "test-images-idx3-ubyte.gz": "936be02531a243e02929efc16aa9eee6f6cbad0031308aed89c71cfa9e4e09f6",
    "test-labels-idx1-ubyte.gz": "589b979c70225f8b27f77ef850c12028b3c60d4afa28cb91b170ac0a9388bb34",
}


def read_digits() -> tuple[DatasetPart, DatasetPart]:
    """Return training and test part, after checking that the files are those that were packed."""
    folder = resources.files("prunescope") / "data" / "digits"
    contents = {}
    for file, expected in SUMS.items():
        content = (folder / file).read_bytes()
        if hashlib.sha256(content).hexdigest() != expected:
            raise DamageError(f"{folder / file} is not the file that comes with prunescope: install it again")
        contents[file] = content
    facts = DATASETS["digits"]
    parts = []
    for kind, count in (("train", facts.train), ("test", facts.test)):
        images, labels = f"{kind}-images-idx3-ubyte.gz", f"{kind}-labels-idx1-ubyte.gz"
        pictures = parse_idx(contents[images], images, (count, *facts.shape[1:]))
        parts.append(
            DatasetPart(pictures[:, np.newaxis], parse_idx(contents[labels], labels, (count,)).astype(np.int64))
        )
    return parts[0], parts[1]
