"""The datasets, families and scores that a study may name, with the facts needed to check a study.

The rooms that train (`data`, `nets`, `prune`) implement these names; a test there holds the two lists together. A
user's own family or score is named by import path, ``package.module:function``, a library's network by ``timm:NAME`` or
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
    """Which depths a family has: ``first``, ``first + step``, ... without end; or ``only`` some."""

    first: int = 1
    step: int = 1
    only: tuple[int, ...] = ()

    def allows(self, depth: int) -> bool:
        """Whether the family has a member of this depth."""
        if self.only:
            return depth in self.only
        return depth >= self.first and (depth - self.first) % self.step == 0

    def nearest(self, depth: int) -> int:
        """Return the allowed depth closest to ``depth``."""
        if self.only:
            return min(self.only, key=lambda allowed: abs(allowed - depth))
        return self.first + max(0, round((depth - self.first) / self.step)) * self.step

    def __str__(self) -> str:
        if self.only:
            *others, last = map(str, self.only)
            return f"{', '.join(others)} or {last}" if others else last
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
    "tinyimagenet": DatasetFacts(100_000, 10_000, 200, (3, 64, 64)),
    "imagenet": DatasetFacts(1_281_167, 50_000, 1_000, (3, 224, 224)),
}

# Depth counts layers with weights, shortcuts aside: LeNet-300-100 has 3; a CIFAR ResNet has 6D+2.
FAMILIES = {
    "lenet": DepthRule(2),
    "cifar-resnet": DepthRule(8, 6),
    "vgg": DepthRule(only=(16,)),
    "imagenet-resnet": DepthRule(only=(18, 34, 50, 101)),
    "densenet": DepthRule(only=(121,)),
}

# Families that take an example as a row of features, so that a dataset of rows will do.
ROWS = ("lenet",)

# Families with normalisations, and those among them with residual branches.
NORMALISED = ("cifar-resnet", "vgg", "imagenet-resnet", "densenet")
RESIDUAL = ("cifar-resnet", "imagenet-resnet")

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
