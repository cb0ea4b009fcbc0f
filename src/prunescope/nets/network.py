"""One member of a family, ready to be computed: what it consists of, how a cohort makes logits, what masks connect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from prunescope.nets.ops import Design
from prunescope.nets.outline import Buffer, Outline, ParameterOutline, Shape, Start, outline
from prunescope.study.sections import NormStart

if TYPE_CHECKING:
    from torch import Tensor

    from prunescope.nets.cohort import Layout


class Network(Protocol):
    """What the rooms above need of a network, a design's or a user's own module."""

    @property
    def outline(self) -> Outline:
        """Its parameters, buffers and costs."""
        ...

    @property
    def pictures(self) -> bool:
        """Whether it takes pictures ``[R, B, H, W, channels]`` rather than rows ``[R, B, features]``."""
        ...

    def start(self, rng: np.random.Generator, norms: NormStart = "uniform") -> dict[str, np.ndarray]:
        """Draw one member's parameters and fill its buffers."""
        ...

    def logits(self, tensors: Mapping[str, Tensor], x: Tensor, training: bool, layout: Layout) -> Tensor:
        """Return the logits ``[R, B, classes]`` of stacked members."""
        ...

    def connected(self, masks: Mapping[str, Flags]) -> bool:
        """Tell whether the input reaches an output through the weights that masks keep."""
        ...


@dataclass(frozen=True)
class Designed:
    """A member of one of the families written over `Ops`."""

    design: Design
    shape: Shape
    depth: int
    width: float
    classes: int

    @cached_property
    def outline(self) -> Outline:
        """Its parameters, buffers and costs."""
        return outline(self.design, self.shape, self.depth, self.width, self.classes)

    @property
    def pictures(self) -> bool:
        """Dense networks take rows, the others pictures."""
        return not self.outline.dense

    def start(self, rng: np.random.Generator, norms: NormStart = "uniform") -> dict[str, np.ndarray]:
        """Draw one member's parameters and fill its buffers, parameter by parameter in the design's order.

        Parameters
        ----------
        norms
            How scales of normalisations start; it changes no other number.
        """
        drawn = {parameter.name: _draw(parameter, rng, norms) for parameter in self.outline.parameters}
        return drawn | _fill(self.outline.buffers)

    def logits(self, tensors: Mapping[str, Tensor], x: Tensor, training: bool, layout: Layout) -> Tensor:
        """Return the logits ``[R, B, classes]`` of stacked members."""
        from prunescope.nets.cohort import logits

        return logits(self.design, self.depth, self.width, self.classes, tensors, x, training, layout)

    def connected(self, masks: Mapping[str, Flags]) -> bool:
        """Tell whether the input reaches an output through the weights that masks keep."""
        return connected(self.design, self.shape, self.depth, self.width, self.classes, masks)


def _draw(parameter: ParameterOutline, rng: np.random.Generator, norms: NormStart) -> np.ndarray:
    """Draw one parameter as it stands before training, in double precision."""
    shape = parameter.shape
    match parameter.start:
        case Start.KAIMING:
            deviation = float(np.sqrt(2 / parameter.fan_in))
            return deviation * rng.standard_normal(shape)
        case Start.BIAS:
            bound = 1 / np.sqrt(parameter.fan_in)
            return rng.uniform(-bound, bound, shape)
        case Start.SCALE | Start.BRANCH_SCALE as start:
            uniform = rng.uniform(0, 1, shape)  # drawn in any case, so that weights after it are the same
            if norms == "uniform":
                return uniform
            zero = norms == "zero-last" and start is Start.BRANCH_SCALE
            return np.zeros(shape) if zero else np.ones(shape)
        case Start.SHIFT:
            return np.zeros(shape)


def _fill(buffers: tuple[Buffer, ...]) -> dict[str, np.ndarray]:
    """Return buffers as they stand before training."""
    return {buffer.name: np.full(buffer.shape, buffer.fill) for buffer in buffers}


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
