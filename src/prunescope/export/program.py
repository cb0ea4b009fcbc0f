"""A network as a list of steps and the tensors that they read: what is written to a file, shrunk, and computed.

Value 0 is the picture, scaled as in training; value k is the result of step k - 1; the last is the logits. Plain data
without torch. Shapes follow from the tensors, so a file cannot claim what it does not hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from prunescope.errors import DamageError

Shape = tuple[int, ...]
Arrays = Mapping[str, np.ndarray]

# What a step may do, with the number of values that it reads and the names of its tensors; a convolution may have a
# bias besides.
KINDS: dict[str, tuple[int, tuple[str, ...]]] = {
    "conv": (1, ("weight",)),
    "norm": (1, ("weight", "bias", "running_mean", "running_var")),
    "linear": (1, ("weight", "bias")),
    "relu": (1, ()),
    "add": (2, ()),
    "concat": (2, ()),
    "max_pool": (1, ()),
    "max_pool_3": (1, ()),
    "halve": (1, ()),
    "mean_pool": (1, ()),
    "flatten": (1, ()),
    "take": (1, ("places",)),
    "shift": (1, ("bias",)),
    "constant": (1, ("value",)),
}


@dataclass(frozen=True)
class Step:
    """One operation.

    Attributes
    ----------
    kind
        One of `KINDS`. ``take`` chooses features, ``shift`` adds a number to each channel, ``constant`` gives the same
        numbers for every example; the others are those of `nets.ops`.
    inputs
        Which values it reads.
    name
        Of its tensors, as in a torch state dict: ``<name>.weight``.
    stride
        Of a convolution, whose padding keeps the size where the stride is 1.
    size
        Height and width of a constant picture; empty where it gives features.
    """

    kind: str
    inputs: tuple[int, ...]
    name: str = ""
    stride: int = 1
    size: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Program:
    """Steps and their tensors.

    Attributes
    ----------
    shape
        Of one picture: channels, height, width.
    """

    shape: Shape
    steps: tuple[Step, ...]
    tensors: Arrays

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """The shape of every value for one example."""
        shapes = [self.shape]
        for step in self.steps:
            shapes.append(shape_of(step, shapes, self.tensors))
        return tuple(shapes)

    @property
    def multiplications(self) -> int:
        """Multiply-adds of one example's way through convolutions and linear layers."""
        total = 0
        for place, step in enumerate(self.steps, 1):
            if step.kind in ("conv", "linear"):
                total += self.tensors[f"{step.name}.weight"].size * prod(self.shapes[place][1:])
        return total

    @property
    def units(self) -> int:
        """Channels and features between the layers: outputs of convolutions and linear layers, logits left out."""
        layers = [step for step in self.steps[:-1] if step.kind in ("conv", "linear")]
        return sum(len(self.tensors[f"{step.name}.weight"]) for step in layers)

    def cast(self, dtype: type[np.floating]) -> Program:
        """Return the same in another precision."""
        turned = {
            name: tensor.astype(dtype) if tensor.dtype.kind == "f" else tensor for name, tensor in self.tensors.items()
        }
        return Program(self.shape, self.steps, turned)

    @property
    def unread(self) -> int:
        """How many values of a picture no layer reads: those that the first choice of features leaves out."""
        taken = next((step for step in self.steps if step.kind == "take"), None)
        return 0 if taken is None else prod(self.shape) - len(self.tensors[f"{taken.name}.places"])


def shape_of(step: Step, shapes: Sequence[Shape], tensors: Arrays) -> Shape:
    """Return the shape of a step's result; refuse a step that its inputs or tensors do not allow."""
    count, parts = KINDS.get(step.kind, (0, ()))
    missing = [name for name in parts if f"{step.name}.{name}" not in tensors]
    places_right = len(step.inputs) == count and all(0 <= place < len(shapes) for place in step.inputs)
    if not count or not places_right or missing:
        raise _wrong(step, "it reads what is not there" if count else "no such operation is known")
    first = shapes[step.inputs[0]]
    arrays = [tensors[f"{step.name}.{name}"] for name in parts]
    sizes = {len(array) if array.ndim == 1 else -1 for array in arrays[step.kind in ("conv", "linear") :]}
    picture, shape = len(first) == 3, first
    match step.kind:
        case "conv":
            weight = arrays[0].shape
            bias = tensors.get(f"{step.name}.bias")
            fits = picture and len(weight) == 4 and weight[1:] == (first[0], weight[-1], weight[-1])
            fits = fits and weight[-1] % 2 == 1 and step.stride >= 1 and (bias is None or bias.shape == weight[:1])
            shape = (weight[0], -(-first[1] // step.stride), -(-first[2] // step.stride)) if fits else ()
        case "linear":
            weight = arrays[0].shape
            fits = len(first) == 1 and len(weight) == 2 and weight[1] == first[0] and sizes == {weight[0]}
            shape = weight[:1]
        case "norm" | "shift":
            fits = sizes == {first[0]}
        case "add":
            fits = first == shapes[step.inputs[1]]
        case "concat":
            second = shapes[step.inputs[1]]
            fits, shape = first[1:] == second[1:], (first[0] + second[0], *first[1:])
        case "max_pool" | "halve":
            fits = picture and min(first[1:]) > 1
            shape = (first[0], *(size // 2 for size in first[1:]))
        case "max_pool_3":
            fits, shape = picture, (first[0], *(-(-size // 2) for size in first[1:]))
        case "mean_pool":
            fits, shape = picture, first[:1]
        case "flatten":
            fits, shape = True, (prod(first),)
        case "take":
            places = arrays[0]
            fits = len(first) == 1 and places.dtype == np.int64 and places.ndim == 1 and places.size > 0
            fits = bool(fits and places.min() >= 0 and places.max() < first[0])
            shape = places.shape
        case "constant":
            largest = max(shapes[0])
            fits = arrays[0].ndim == 1 and len(step.size) in (0, 2) and all(0 < size <= largest for size in step.size)
            shape = (*arrays[0].shape, *step.size)
        case _:  # relu
            fits = True
    if not fits:
        raise _wrong(step, f"its tensors and its input {first} do not fit each other")
    return shape


def _wrong(step: Step, words: str) -> DamageError:
    return DamageError(f"step {step.name or step.kind!r} cannot be computed: {words}")
