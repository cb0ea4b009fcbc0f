"""What a report is called: networks and data as people write them, how many, and over what range."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from prunescope.errors import counted
from prunescope.table import Table

# As people write them; what is not here is written as the table has it.
FAMILIES = {
    "lenet": "LeNet",
    "cifar-resnet": "ResNet",
    "imagenet-resnet": "ResNet",
    "vgg": "VGG",
    "densenet": "DenseNet",
}
DATASETS = {
    "mnist": "MNIST",
    "fashion-mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "svhn": "SVHN",
    "tinyimagenet": "TinyImageNet",
    "imagenet": "ImageNet",
}


def title(rows: Table, families: int, name: str) -> str:
    """Say what was measured: ``LeNet on digits: 2,088 networks``; by its name where a table mixes networks or data."""
    networks = counted(len(rows), "network")
    family, dataset = _only(rows, "family"), _only(rows, "dataset")
    if family and dataset:
        return f"{FAMILIES.get(family, family)} on {DATASETS.get(dataset, dataset)}: {networks}"
    several = f" of {families:,} families" if families > 1 else ""
    return f"{name}: {networks}{several}"


def subtitle(rows: Table, studies: Sequence[str], name: str) -> str:
    """Say which study or table it is, and what varies in it."""
    source = f"study {', '.join(studies)}" if studies else name
    ranges = ", ".join(_ranges(rows))
    return f"{source}: {ranges}" if ranges else source


def _only(rows: Table, name: str) -> str:
    """Return the value of a column of names that is the same in all rows; empty where there is none."""
    if name not in rows:
        return ""
    values = {str(value) for value in np.unique(rows[name].astype(str)).tolist()}
    return values.pop() if len(values) == 1 and "None" not in values else ""


def _short(value: float) -> str:
    return f"{value:,.0f}" if value.is_integer() else f"{value:.3g}"


def _ranges(rows: Table) -> Iterator[str]:
    for name in ("depth", "width", "examples", "label_noise"):
        if name in rows and rows[name].dtype.kind in "fiu":
            values = rows[name][np.isfinite(rows[name].astype(float))]
            if len(values) and (values.min() < values.max() or name != "label_noise" or values.max() > 0):
                low, high = (_short(float(value)) for value in (values.min(), values.max()))
                yield f"{name.replace('_', ' ')} {low}" + (f" to {high}" if low != high else "")
    density = rows["density"]
    yield f"density {density.max():.3g} to {density.min():.3g}"
