"""From a study's words to a network: the families by name, a user's own by import path."""

from __future__ import annotations

from functools import lru_cache

from prunescope.errors import Fault, InputError, clipped, nearest
from prunescope.nets.families import cifar_resnet, lenet, vgg
from prunescope.nets.network import Designed, Network
from prunescope.nets.ops import Design
from prunescope.nets.outline import Shape
from prunescope.study.catalogue import is_import_path
from prunescope.study.import_path import import_function

DESIGNS: dict[str, Design] = {"lenet": lenet, "cifar-resnet": cifar_resnet, "vgg": vgg}


@lru_cache(maxsize=256)
def network(family: str, depth: int, width: float, classes: int, shape: Shape) -> Network:
    """Return a member of a family for pictures of a shape (channels, height, width)."""
    if family in DESIGNS:
        return Designed(DESIGNS[family], shape, depth, width, classes)
    if is_import_path(family):
        from prunescope.nets.custom import Custom

        return Custom(import_function(family), family, shape, depth, width, classes)
    must = f"must be one of {', '.join(DESIGNS)}, or package.module:function"
    raise InputError("networks", [Fault("family", must, clipped(family), nearest(family, DESIGNS))])
