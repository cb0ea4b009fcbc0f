"""A network as plain facts: its parameters, buffers and costs, found by walking its design once without computing.

No torch here, so that a plan can count what a study would train.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import accumulate
from math import prod

from prunescope.errors import counted, listed
from prunescope.nets.ops import Design
from prunescope.study.sections import Prunable

Shape = tuple[int, ...]


class Start(StrEnum):
    """How a parameter is drawn before training."""

    KAIMING = "kaiming"  # normal with variance 2 / fan-in (He et al. 2015)
    BIAS = "bias"  # uniform within 1 / sqrt(fan-in), as torch's linear layers
    SCALE = "scale"  # of a normalisation: uniform from 0 to 1, as the papers' framework has it, or as a recipe says
    BRANCH_SCALE = "branch scale"  # the same, of the last normalisation of a residual branch
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
    trained
        Whether training changes it; not where a user's module says ``requires_grad=False``.
    """

    name: str
    shape: Shape
    start: Start
    fan_in: int = 1
    weight: bool = False
    output: bool = False
    trained: bool = True

    @cached_property
    def size(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)

    @property
    def matrix(self) -> bool:
        """Whether it has two axes or more, as weights have and biases have not."""
        return len(self.shape) > 1

    def named_by(self, pattern: str) -> bool:
        """Whether a pattern stands for its name, or for the module that it belongs to."""
        return any(fnmatchcase(name, pattern) for name in accumulate(self.name.split("."), "{}.{}".format))


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
    slow
        Why members of a cohort are not computed together, in words; empty where they are.
    """

    parameters: tuple[ParameterOutline, ...]
    buffers: tuple[Buffer, ...]
    multiplications: int
    activations: int
    dense: bool
    slow: str = ""

    @cached_property
    def total(self) -> int:
        """All parameters, counted."""
        return sum(parameter.size for parameter in self.parameters)

    def prunable(self, rule: Prunable) -> tuple[ParameterOutline, ...]:
        """Return the parameters that pruning may remove from.

        Parameters
        ----------
        rule
            ``all``: the weights of layers that are trained; ``all-but-output``: not those of the last one. Or patterns
            of names, which choose among all matrices. The last pattern that stands for a matrix decides.
        """
        return tuple(parameter for parameter in self.parameters if _is_prunable(parameter, rule))

    def left_alone(self, rule: Prunable) -> dict[str, str]:
        """Return the matrices that pruning may not remove from, and why."""
        others = (item for item in self.parameters if item.matrix and not _is_prunable(item, rule))
        return {parameter.name: _why_left(parameter, rule) for parameter in others}

    def words(self, rule: Prunable) -> str:
        """Say which matrices pruning removes from, which it leaves alone and why, and what makes training slow."""
        layers, reasons = self.prunable(rule), dict[str, list[str]]()
        for name, why in self.left_alone(rule).items():
            reasons.setdefault(why, []).append(name)
        matrices = sum(parameter.matrix for parameter in self.parameters)
        weights = sum(layer.size for layer in layers)
        parts = [f"prunes {len(layers):,} of {counted(matrices, 'matrix', 'matrices')}, {counted(weights, 'weight')}"]
        if reasons:
            parts.append(f"leaves alone {'; '.join(f'{listed(names)} ({why})' for why, names in reasons.items())}")
        return "; ".join([*parts, *([self.slow] if self.slow else [])])

    def strangers(self, rule: Prunable) -> tuple[str, ...]:
        """Return the patterns of a rule that stand for no matrix."""
        matrices = [parameter for parameter in self.parameters if parameter.matrix]
        return tuple(
            pattern
            for pattern in ([] if isinstance(rule, str) else rule)
            if not any(parameter.named_by(pattern.removeprefix("!")) for parameter in matrices)
        )


def _is_prunable(parameter: ParameterOutline, rule: Prunable) -> bool:
    usual = parameter.weight and parameter.trained
    if isinstance(rule, str):
        return usual and (rule == "all" or not parameter.output)
    deciding = _deciding(parameter, rule)
    if deciding is None:
        return usual and rule[0].startswith("!")
    return parameter.matrix and not deciding.startswith("!")


def _deciding(parameter: ParameterOutline, patterns: Sequence[str]) -> str | None:
    """Return the last pattern that stands for a parameter."""
    return next((item for item in reversed(patterns) if parameter.named_by(item.removeprefix("!"))), None)


def _why_left(parameter: ParameterOutline, rule: Prunable) -> str:
    if not isinstance(rule, str) and (not rule[0].startswith("!") or _deciding(parameter, rule)):
        return "by prunable"
    if not parameter.trained:
        return "not trained"
    return "the output" if parameter.weight else "no layer's weights"


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

    def norm(self, x: Shape, name: str, last: bool = False) -> Shape:
        scale = Start.BRANCH_SCALE if last else Start.SCALE
        self.parameters.append(ParameterOutline(f"{name}.weight", (x[0],), scale))
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

    def concat(self, x: Shape, y: Shape) -> Shape:
        return self._left_behind((x[0] + y[0], *x[1:]))

    def max_pool(self, x: Shape) -> Shape:
        return self._left_behind(_halved(x))

    def max_pool_3(self, x: Shape) -> Shape:
        return self._left_behind((x[0], -(-x[1] // 2), -(-x[2] // 2)))

    def halve(self, x: Shape) -> Shape:
        return self._left_behind(_halved(x))

    def _left_behind(self, y: Shape) -> Shape:
        """Count what a pool or a concatenation makes."""
        self.dense = False
        self.activations += prod(y)
        return y

    def mean_pool(self, x: Shape) -> Shape:
        self.dense = False
        return (x[0],)

    def flatten(self, x: Shape) -> Shape:
        return (prod(x),)

    def channels(self, x: Shape) -> int:
        return x[0]

    def side(self, x: Shape) -> int:
        return max(x[1:])


def _halved(x: Shape) -> Shape:
    """Return a picture's shape after a pool of two by two; a single row or column is not pooled."""
    return (x[0], x[1] // 2, x[2] // 2) if min(x[1:]) > 1 else x


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
