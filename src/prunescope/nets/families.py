"""The families of the papers, each written once, and networks by family name or import path.

Sizes are rounded to whole units, never below one. What the papers leave open is a choice of this project: LeNets deeper
than three layers repeat the second hidden layer, and convolutions have no bias, since each is followed by a
normalisation with a shift of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from prunescope.errors import Fault, InputError, clipped, nearest
from prunescope.nets.network import Designed, Network
from prunescope.nets.ops import Design, Ops
from prunescope.nets.outline import Shape
from prunescope.study.catalogue import is_import_path, is_library_name
from prunescope.study.import_path import import_function


def units(full: int, width: float) -> int:
    """Return how many units or channels a layer has at a width factor."""
    return max(1, round(full * width))


def _lenet(net: Ops, x: Any, depth: int, width: float, classes: int) -> Any:
    """LeNet-300-100: fully connected; 300 units in the first hidden layer, 100 in each further one."""
    x = net.flatten(x)
    for layer in range(1, depth):
        x = net.relu(net.linear(x, f"hidden{layer}", units(300 if layer == 1 else 100, width)))
    return net.linear(x, "output", classes)


def _cifar_resnet(net: Ops, x: Any, depth: int, width: float, classes: int) -> Any:
    """ResNet of 6D + 2 layers (He et al. 2016): three segments of D blocks; 1x1 convolutions where shapes change."""
    blocks = (depth - 2) // 6
    x = net.relu(net.norm(net.conv(x, "stem.conv", units(16, width)), "stem.norm"))
    for segment, full in enumerate((16, 32, 64)):
        filters = units(full, width)
        for block in range(blocks):
            stride = 2 if segment > 0 and block == 0 else 1
            x = _block(net, x, f"segment{segment}.block{block}", filters, stride)
    return net.linear(net.mean_pool(x), "output", classes)


def _block(net: Ops, x: Any, name: str, filters: int, stride: int) -> Any:
    y = net.relu(net.norm(net.conv(x, f"{name}.conv1", filters, stride=stride), f"{name}.norm1"))
    y = net.norm(net.conv(y, f"{name}.conv2", filters), f"{name}.norm2")
    if stride != 1 or net.channels(x) != filters:
        x = net.norm(net.conv(x, f"{name}.shortcut.conv", filters, kernel=1, stride=stride), f"{name}.shortcut.norm")
    return net.relu(net.add(x, y))


_VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def _vgg(net: Ops, x: Any, depth: int, width: float, classes: int) -> Any:
    """VGG-16 for small pictures: thirteen convolutions, pooled between groups, then one linear layer."""
    del depth  # there is one
    layer = 0
    for group, sizes in enumerate(_VGG16):
        x = net.max_pool(x) if group else x
        for full in sizes:
            x = net.relu(net.norm(net.conv(x, f"conv{layer}", units(full, width)), f"norm{layer}"))
            layer += 1
    return net.linear(net.mean_pool(x), "output", classes)


DESIGNS: dict[str, Design] = {"lenet": _lenet, "cifar-resnet": _cifar_resnet, "vgg": _vgg}


def factory_of(family: str) -> Callable[..., object]:
    """Return the function that makes networks of a family that is no design: a user's own, or a library's."""
    if is_library_name(family):
        from prunescope.nets.libraries import library_factory

        return library_factory(family)
    return import_function(family)


@lru_cache(maxsize=256)
def network(family: str, depth: int, width: float, classes: int, shape: Shape) -> Network:
    """Return a member of a family for pictures of a shape (channels, height, width)."""
    if family in DESIGNS:
        return Designed(DESIGNS[family], shape, depth, width, classes)
    if is_import_path(family) or is_library_name(family):
        from prunescope.nets.custom import Custom

        return Custom(factory_of(family), family, shape, depth, width, classes)
    must = f"must be one of {', '.join(DESIGNS)}, or package.module:function"
    raise InputError("networks", [Fault("family", must, clipped(family), nearest(family, DESIGNS))])
