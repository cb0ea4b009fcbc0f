"""The datasets, families and scores that a study may name, with the facts needed to check a study.

The rooms that train (`data`, `nets`, `prune`) implement these names; a test there holds the two lists together. Tables
may hold measurements of others, which are known here too and which no study may name yet (`NOT_TRAINED`). A user's own
family or score is named by import path, ``package.module:function``, a library's network by ``timm:NAME`` or
``torchvision:NAME``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LIBRARIES = ("timm", "torchvision")
LIBRARY_NAME = re.compile(rf"({'|'.join(LIBRARIES)}):[A-Za-z_][\w.\-]*")
IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class DatasetFacts:
    """Size of a dataset, as its makers publish it; ``shape`` is a picture's channels, height and width.

    ``validation`` counts the examples of a validation part of its own, which are not among those of ``train``.
    """

    train: int
    test: int
    classes: int
    shape: tuple[int, int, int]
    validation: int = 0


@dataclass(frozen=True)
class DepthRule:
    """Which depths a family has: ``first``, ``first + step``, ... up to ``last`` (None: no end)."""

    first: int
    step: int = 1
    last: int | None = None

    def allows(self, depth: int) -> bool:
        """Whether the family has a member of this depth."""
        within = depth >= self.first and (self.last is None or depth <= self.last)
        return within and (depth - self.first) % self.step == 0

    def nearest(self, depth: int) -> int:
        """Return the allowed depth closest to ``depth``."""
        steps = max(0, round((depth - self.first) / self.step))
        nearest = self.first + steps * self.step
        return nearest if self.last is None else min(nearest, self.last)

    def __str__(self) -> str:
        if self.last == self.first:
            return str(self.first)
        if self.step == 1:
            return f"{self.first} or more"
        return f"{self.first}, {self.first + self.step}, {self.first + 2 * self.step}, ..."


# The digits are the 1,797 test pictures of UCI's optical digits; their first 1,297 train and the last 500 test.
DATASETS = {
    "digits": DatasetFacts(1_297, 500, 10, (1, 8, 8)),
    "mnist": DatasetFacts(60_000, 10_000, 10, (1, 28, 28)),
    "fashion-mnist": DatasetFacts(60_000, 10_000, 10, (1, 28, 28)),
    "cifar10": DatasetFacts(50_000, 10_000, 10, (3, 32, 32)),
    "cifar100": DatasetFacts(50_000, 10_000, 100, (3, 32, 32)),
    "svhn": DatasetFacts(73_257, 26_032, 10, (3, 32, 32)),
    "imagenet": DatasetFacts(1_281_167, 50_000, 1_000, (3, 224, 224)),
}

# Depth counts layers with weights, shortcuts aside: LeNet-300-100 has 3; a CIFAR ResNet has 6D+2.
FAMILIES = {
    "lenet": DepthRule(2),
    "cifar-resnet": DepthRule(8, 6),
    "vgg": DepthRule(16, last=16),
    "imagenet-resnet": DepthRule(50, last=50),
}

# Families that take an example as a row of features, so that a dataset of rows will do.
ROWS = ("lenet",)

# Known from tables of others, and not trained here yet: no study may name them, and presets that do are not offered.
# A dataset that can be loaded, or a family that has its design, leaves this line and is offered with its presets.
NOT_TRAINED = frozenset({"imagenet", "imagenet-resnet"})
TRAINED_DATASETS = tuple(name for name in DATASETS if name not in NOT_TRAINED)
TRAINED_FAMILIES = tuple(name for name in FAMILIES if name not in NOT_TRAINED)

# Gradient is SNIP's score, gradient-flow GraSP's, synaptic-flow SynFlow's.
SCORES = ("magnitude", "random", "gradient", "gradient-flow", "synaptic-flow")


def is_own_dataset(name: str) -> bool:
    """Whether ``name`` is a user's own dataset: an import path, an ``.npz`` file, or a folder with a final slash."""
    return is_import_path(name) or name.lower().endswith(".npz") or name.endswith("/")


def is_import_path(name: str) -> bool:
    """Whether ``name`` points to a user's own function, as in ``package.module:function``."""
    return IMPORT_PATH.fullmatch(name) is not None and not is_library_name(name)


def is_library_name(name: str) -> bool:
    """Whether ``name`` is that of a network in a library, as in ``timm:resnet18``."""
    return LIBRARY_NAME.fullmatch(name) is not None
