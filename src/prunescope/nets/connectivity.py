"""What masks leave connected: whether a path of surviving weights leads from the input to an output."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.nets.ops import Design

Flags = NDArray[np.bool_]


class _Reached:
    """Operations on flags: which channels of a value the input reaches. ``places`` spreads channels over features."""

    def __init__(self, masks: Mapping[str, Flags], shape: tuple[int, ...]) -> None:
        self._masks = masks
        self._places = prod(shape[1:])
        self._side = max(shape[1:])

    def _through(self, x: Flags, name: str, out: int, axes: tuple[int, ...]) -> Flags:
        mask = self._masks.get(f"{name}.weight")
        if mask is None:  # a layer that pruning leaves alone is whole
            return np.full(out, bool(x.any()))
        open_ways: Flags = np.any(mask, axis=axes) if axes else mask
        reached: Flags = np.any(open_ways & x[None, :], axis=1)
        return reached

    def conv(self, x: Flags, name: str, out: int, kernel: int = 3, stride: int = 1) -> Flags:
        del kernel, stride
        return self._through(x, name, out, (2, 3))

    def linear(self, x: Flags, name: str, out: int) -> Flags:
        return self._through(x, name, out, ())

    def norm(self, x: Flags, name: str, last: bool = False) -> Flags:
        del name, last
        return x

    def relu(self, x: Flags) -> Flags:
        return x

    def add(self, x: Flags, y: Flags) -> Flags:
        return x | y

    def concat(self, x: Flags, y: Flags) -> Flags:
        return np.concatenate([x, y])

    def max_pool(self, x: Flags) -> Flags:
        return x

    def max_pool_3(self, x: Flags) -> Flags:
        return x

    def halve(self, x: Flags) -> Flags:
        return x

    def mean_pool(self, x: Flags) -> Flags:
        return x

    def flatten(self, x: Flags) -> Flags:
        return np.repeat(x, self._places)

    def channels(self, x: Flags) -> int:
        return len(x)

    def side(self, x: Flags) -> int:
        del x
        return self._side


def connected(
    design: Design, shape: tuple[int, ...], depth: int, width: float, classes: int, masks: Mapping[str, Flags]
) -> bool:
    """Tell whether the input reaches an output through weights that the masks keep.

    Parameters
    ----------
    masks
        True where a weight survives, by the parameter's name; layers without a mask are whole.
    """
    start: Any = np.ones(shape[0], bool)
    reached: Flags = design(_Reached(masks, shape), start, depth, width, classes)
    return bool(reached.any())
