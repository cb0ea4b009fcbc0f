"""One member of a family, ready to be computed: what it consists of, and how a cohort of it makes logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from prunescope.nets.connectivity import Flags, connected
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
