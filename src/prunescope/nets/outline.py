"""A network as plain facts: its parameters, buffers and costs, found by walking its design once without computing.

No torch here, so that a plan can count what a study would train.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from math import prod

from prunescope.nets.ops import Design

Shape = tuple[int, ...]


class Start(StrEnum):
    """How a parameter is drawn before training."""

    KAIMING = "kaiming"  # normal with variance 2 / fan-in (He et al. 2015)
    BIAS = "bias"  # uniform within 1 / sqrt(fan-in), as torch's linear layers
    SCALE = "scale"  # uniform from 0 to 1, as the papers' framework starts batch normalisation
    SHIFT = "shift"  # zero


@dataclass(frozen=True)
class ParameterOutline:
    """A trained tensor.

    Attributes
    ----------
    fan_in
        Values that come together in one unit.
    weight
        Whether it is the weight of a convolution or a linear layer, and so of a kind that pruning may remove.
    output
        Whether it belongs to the last layer.
    """

    name: str
    shape: Shape
    start: Start
    fan_in: int = 1
    weight: bool = False
    output: bool = False

    @cached_property
    def size(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


@dataclass(frozen=True)
class Buffer:
    """A tensor that training keeps but no gradient reaches: the running statistics of a normalisation."""

    name: str
    shape: Shape
    fill: float


@dataclass(frozen=True)
class Outline:
    """What a network consists of.

    Attributes
    ----------
    multiplications
        Of one example's way through the network.
    activations
        Numbers that one example's way leaves behind for the way back.
    dense
        Whether it is linear layers with ReLU between them and nothing else.
    """

    parameters: tuple[ParameterOutline, ...]
    buffers: tuple[Buffer, ...]
    multiplications: int
    activations: int
    dense: bool

    @cached_property
    def total(self) -> int:
        """All parameters, counted."""
        return sum(parameter.size for parameter in self.parameters)

    def prunable(self, rule: str) -> tuple[ParameterOutline, ...]:
        """Return the parameters that pruning may remove from: weights of ``all`` layers, or ``all-but-output``."""
        return tuple(
            parameter for parameter in self.parameters if parameter.weight and (rule == "all" or not parameter.output)
        )


class _Walk:
    """Operations on shapes: one example's (channels, height, width), or (features,)."""

    def __init__(self) -> None:
        self.parameters: list[ParameterOutline] = []
        self.buffers: list[Buffer] = []
        self.multiplications = 0
        self.activations = 0
        self.dense = True

    def conv(self, x: Shape, name: str, out: int, kernel: int = 3, stride: int = 1) -> Shape:
        channels, height, width = x
        fan_in = channels * kernel * kernel
        shape = (out, channels, kernel, kernel)
        self.parameters.append(ParameterOutline(f"{name}.weight", shape, Start.KAIMING, fan_in, weight=True))
        y = (out, -(-height // stride), -(-width // stride))
        self.multiplications += fan_in * prod(y)
        self.activations += prod(y)
        self.dense = False
        return y

    def norm(self, x: Shape, name: str) -> Shape:
        self.parameters.append(ParameterOutline(f"{name}.weight", (x[0],), Start.SCALE))
        self.parameters.append(ParameterOutline(f"{name}.bias", (x[0],), Start.SHIFT))
        self.buffers.append(Buffer(f"{name}.running_mean", (x[0],), 0.0))
        self.buffers.append(Buffer(f"{name}.running_var", (x[0],), 1.0))
        self.activations += prod(x)
        self.dense = False
        return x

    def linear(self, x: Shape, name: str, out: int) -> Shape:
        (features,) = x
        self.parameters.append(
            ParameterOutline(f"{name}.weight", (out, features), Start.KAIMING, features, weight=True)
        )
        self.parameters.append(ParameterOutline(f"{name}.bias", (out,), Start.BIAS, features))
        self.multiplications += features * out
        self.activations += out
        return (out,)

    def relu(self, x: Shape) -> Shape:
        return x

    def add(self, x: Shape, y: Shape) -> Shape:
        del y
        self.dense = False
        return x

    def max_pool(self, x: Shape) -> Shape:
        channels, height, width = x
        self.dense = False
        y = (channels, max(1, height // 2), max(1, width // 2))
        self.activations += prod(y)
        return y

    def mean_pool(self, x: Shape) -> Shape:
        self.dense = False
        return (x[0],)

    def flatten(self, x: Shape) -> Shape:
        return (prod(x),)

    def channels(self, x: Shape) -> int:
        return x[0]


def outline(design: Design, shape: Shape, depth: int, width: float, classes: int) -> Outline:
    """Walk a design over the shape of one example (channels, height, width)."""
    walk = _Walk()
    design(walk, shape, depth, width, classes)
    last = max(index for index, parameter in enumerate(walk.parameters) if parameter.weight)
    parameters = tuple(
        ParameterOutline(
            parameter.name, parameter.shape, parameter.start, parameter.fan_in, parameter.weight, output=index >= last
        )
        for index, parameter in enumerate(walk.parameters)
    )
    return Outline(parameters, tuple(walk.buffers), walk.multiplications, walk.activations, walk.dense)
