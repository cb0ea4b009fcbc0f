"""From a member of a family and its tensors to a program, and to the smaller program that computes the same.

The design is walked once. A normalisation that alone reads a convolution is folded into it; any other, such as one of
several branches together, stays a step. Then every unit that pruning has cut off is removed.

A channel from which no path of surviving weights leads to an output is removed. A channel that no path reaches from
the input is the same for every example; it is removed too, and what it adds goes into the biases of the layers that
read it. That is exact where the channel is zero, or where the layer has no padding (a linear layer, a 1x1 convolution).
A channel that is constant but not zero, read by a padded convolution, is not the same near the borders, and stays.

Channels that are added, and what rectifiers, normalisations and pools make of them, go together: a channel of a
residual stream, or one that many layers read, goes only if all who read it can do without it. A branch that is constant
as a whole is not computed; its numbers are added to the other branch.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import Fault, InputError
from prunescope.export.program import KINDS, Arrays, Program, Shape, Step, shape_of
from prunescope.nets import Designed, Network
from prunescope.nets.grouped_convolutions import EPSILON


class _Traced:
    """Operations on the numbers of values, noting what was asked for."""

    def __init__(self, shape: Shape, tensors: Arrays) -> None:
        self.steps: list[Step] = []
        self.shapes = [shape]
        self._tensors = tensors

    def _add(self, step: Step) -> int:
        self.shapes.append(shape_of(step, self.shapes, self._tensors))
        self.steps.append(step)
        return len(self.steps)

    def conv(self, x: int, name: str, out: int, kernel: int = 3, stride: int = 1) -> int:
        del out, kernel
        return self._add(Step("conv", (x,), name, stride))

    def norm(self, x: int, name: str, last: bool = False) -> int:
        del last
        return self._add(Step("norm", (x,), name))

    def linear(self, x: int, name: str, out: int) -> int:
        del out
        return self._add(Step("linear", (x,), name))

    def relu(self, x: int) -> int:
        return self._add(Step("relu", (x,)))

    def add(self, x: int, y: int) -> int:
        return self._add(Step("add", (x, y)))

    def concat(self, x: int, y: int) -> int:
        return self._add(Step("concat", (x, y)))

    def max_pool(self, x: int) -> int:
        return self._add(Step("max_pool", (x,))) if min(self.shapes[x][1:]) > 1 else x

    def max_pool_3(self, x: int) -> int:
        return self._add(Step("max_pool_3", (x,)))

    def halve(self, x: int) -> int:
        return self._add(Step("halve", (x,))) if min(self.shapes[x][1:]) > 1 else x

    def mean_pool(self, x: int) -> int:
        return self._add(Step("mean_pool", (x,)))

    def flatten(self, x: int) -> int:
        return self._add(Step("flatten", (x,)))

    def channels(self, x: int) -> int:
        return self.shapes[x][0]

    def side(self, x: int) -> int:
        return max(self.shapes[x][1:])


def traced(network: Network, tensors: Arrays) -> Program:
    """Return a member of a family with these tensors as a program."""
    if not isinstance(network, Designed):
        must = "must be of prunescope's own families: the ways through another module are not known"
        raise InputError("the export", [Fault("the network", must)])
    walk = _Traced(network.shape, tensors)
    network.design(walk, 0, network.depth, network.width, network.classes)
    return Program(network.shape, tuple(walk.steps), tensors)


Flags = NDArray[np.bool_]
_WEIGHTED = ("conv", "linear")


def shrunk(program: Program) -> Program:
    """Return a program without cut-off units; normalisations that can be folded must be."""
    return _Shrinking(program).result()


@dataclass(frozen=True)
class _ShrinkingLayer:
    """A convolution or linear layer: ``sums`` [out, in] over its kernels, ``alive`` where a weight is not zero."""

    weight: np.ndarray
    bias: np.ndarray
    sums: np.ndarray
    alive: Flags
    padded: bool

    def foldable(self, constant: np.ndarray) -> Flags:
        """Tell which inputs can go into the bias."""
        removable: Flags = constant == 0 if self.padded else ~np.isnan(constant)
        return removable

    def moved(self, constant: np.ndarray, gone: Flags) -> np.ndarray:
        """Return the bias with what the inputs ``gone`` add."""
        moved: np.ndarray = self.bias + self.sums @ np.where(gone & ~np.isnan(constant), constant, 0)
        return moved


class _Shrinking:
    """What is known of each value: which channels are constant, with NaN where not, and which channels stay."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._steps = program.steps
        self._layers = {place: self._layer(step) for place, step in self._numbered() if step.kind in _WEIGHTED}
        self._constants = self._find_constants()
        self._channels = self._numbered_channels()
        self._keep = self._needed()

    def _numbered(self) -> list[tuple[int, Step]]:
        """Return each step with the number of the value that it gives."""
        return list(enumerate(self._steps, 1))

    def _layer(self, step: Step) -> _ShrinkingLayer:
        weight = self._program.tensors[f"{step.name}.weight"]
        bias = self._program.tensors.get(f"{step.name}.bias", np.zeros(len(weight), weight.dtype))
        flat = weight.reshape(*weight.shape[:2], -1)
        return _ShrinkingLayer(weight, bias, flat.sum(2), (flat != 0).any(2), padded=flat.shape[2] > 1)

    def _find_constants(self) -> list[np.ndarray]:
        constants = [np.full(self._program.shape[0], np.nan)]
        for place, step in self._numbered():
            first = constants[step.inputs[0]]
            match step.kind:
                case "conv" | "linear":
                    layer = self._layers[place]
                    still = layer.foldable(first)
                    varies = (layer.alive & ~still).any(1)
                    constants.append(np.where(varies, np.nan, layer.moved(first, still)))
                case "relu":
                    constants.append(np.maximum(first, 0))
                case "add":
                    constants.append(first + constants[step.inputs[1]])
                case "concat":
                    constants.append(np.concatenate([first, constants[step.inputs[1]]]))
                case "norm":
                    scale, shift = _line(step.name, self._program.tensors)
                    constants.append(scale * first + shift)
                case "flatten":
                    constants.append(np.repeat(first, self._program.shapes[place][0] // len(first)))
                case _:  # pools
                    constants.append(first)
        return constants

    def _numbered_channels(self) -> list[NDArray[np.int64]]:
        """Return a number for each channel of each value; channels of one number stay or go together."""
        same = _Partition()
        channels = [same.new(len(self._constants[0]))]
        for place, step in self._numbered():
            first = channels[step.inputs[0]]
            if step.kind in (*_WEIGHTED, "flatten"):
                channels.append(same.new(len(self._constants[place])))
            elif step.kind == "concat":
                channels.append(np.concatenate([first, channels[step.inputs[1]]]))
            else:
                if step.kind == "add":
                    same.join(first, channels[step.inputs[1]])
                channels.append(first)
        return [same.representatives(numbers) for numbers in channels]

    def _needed(self) -> Flags:
        """Return which channels stay, by number: the least that the logits and all kept channels ask for."""
        keep = np.zeros(1 + max(int(numbers.max()) for numbers in self._channels), bool)
        keep[self._channels[0]] = keep[self._channels[-1]] = True
        growing = True
        while growing:
            growing = False
            for place, step in reversed(self._numbered()):
                rows, below = keep[self._channels[place]], self._channels[step.inputs[0]]
                if step.kind in _WEIGHTED:
                    layer, constant = self._layers[place], self._constants[step.inputs[0]]
                    wanted = (layer.alive[rows] & ~layer.foldable(constant)).any(0) & ~keep[below]
                elif step.kind == "flatten" and rows.any():
                    wanted = ~keep[below]
                else:
                    continue
                keep[below[wanted]] = True
                growing |= bool(wanted.any())
        return keep

    def _kept(self, place: int) -> Flags:
        kept: Flags = self._keep[self._channels[place]]
        return kept

    def _still(self, place: int) -> bool:
        """Whether all that stays of a value is constant."""
        return not np.isnan(self._constants[place][self._kept(place)]).any()

    def _reads(self, place: int) -> tuple[int, ...]:
        """Return the values that a value is still computed from."""
        step = self._steps[place - 1]
        if self._still(place):
            return (0,)
        if step.kind == "concat":
            return tuple(index for index in step.inputs if self._kept(index).any())
        return tuple(index for index in step.inputs if step.kind != "add" or not self._still(index))

    def result(self) -> Program:
        """Write the smaller program."""
        wanted = {len(self._steps)}
        for place, _ in reversed(self._numbered()):
            if place in wanted:
                wanted |= set(self._reads(place))
        now, steps, tensors = {0: 0}, [], dict[str, np.ndarray]()

        def add(step: Step, **parts: np.ndarray) -> int:
            steps.append(step)
            tensors.update({f"{step.name}.{suffix}": values for suffix, values in parts.items()})
            return len(steps)

        for place, step in self._numbered():
            if place not in wanted:
                continue
            kept_units, size = self._kept(place), self._program.shapes[place][1:]
            before = tuple(now[index] for index in self._reads(place))
            if self._still(place):
                name = step.name or f"constant{place}"
                now[place] = add(Step("constant", (0,), name, size=size), value=self._constants[place][kept_units])
            elif step.kind in _WEIGHTED:
                layer, below = self._layers[place], self._kept(step.inputs[0])
                constant = self._constants[step.inputs[0]]
                bias = layer.moved(constant, ~below & layer.foldable(constant))
                now[place] = add(
                    Step(step.kind, before, step.name, step.stride),
                    weight=layer.weight[kept_units][:, below],
                    bias=bias[kept_units],
                )
            elif step.kind == "norm":
                parts = {name: self._program.tensors[f"{step.name}.{name}"][kept_units] for name in KINDS["norm"][1]}
                now[place] = add(Step("norm", before, step.name), **parts)
            elif step.kind == "concat" and len(before) == 1:
                now[place] = before[0]
            elif step.kind == "add" and len(before) == 1:
                still = next(index for index in step.inputs if self._still(index))
                numbers = self._constants[still][kept_units]
                now[place] = add(Step("shift", before, f"shift{place}"), bias=numbers) if numbers.any() else before[0]
            else:
                now[place] = add(Step(step.kind, before))
                if step.kind == "flatten" and not kept_units.all():
                    now[place] = add(Step("take", (now[place],), f"take{place}"), places=np.flatnonzero(kept_units))
        return Program(self._program.shape, tuple(steps), tensors)


class _Partition:
    """Numbers, some of which are the same."""

    def __init__(self) -> None:
        self._parents: list[int] = []

    def new(self, count: int) -> NDArray[np.int64]:
        """Return numbers that differ from all others."""
        first = len(self._parents)
        self._parents += range(first, first + count)
        return np.arange(first, first + count)

    def join(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> None:
        """Make numbers the same, pair by pair."""
        for left, right in zip(one.tolist(), other.tolist(), strict=True):
            self._parents[self._representative(right)] = self._representative(left)

    def representatives(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return for each number the one that stands for all that are the same."""
        return np.array([self._representative(number) for number in numbers.tolist()], np.int64)

    def _representative(self, number: int) -> int:
        while self._parents[number] != number:
            self._parents[number] = number = self._parents[self._parents[number]]
        return number


def _line(name: str, tensors: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Return what a normalisation multiplies channels by, and what it adds."""
    weight, bias, mean, variance = (tensors[f"{name}.{part}"] for part in KINDS["norm"][1])
    scale = weight / np.sqrt(variance + EPSILON)
    return scale, bias - scale * mean


def folded(program: Program) -> Program:
    """Return the same function without the normalisations that alone read a convolution: they become part of it."""
    double = {name: np.asarray(tensor, np.float64) for name, tensor in program.tensors.items()}
    readers = Counter(place for step in program.steps for place in step.inputs)
    steps: list[Step] = []
    tensors: dict[str, np.ndarray] = {}
    now = [0]  # where each value of the program is now
    for step in program.steps:
        read = step.inputs[0]
        if step.kind == "norm" and read and program.steps[read - 1].kind == "conv" and readers[read] == 1:
            before = steps[now[read] - 1]
            scale, tensors[f"{before.name}.bias"] = _line(step.name, double)
            tensors[f"{before.name}.weight"] = double[f"{before.name}.weight"] * scale[:, None, None, None]
            now.append(now[read])
            continue
        steps.append(replace(step, inputs=tuple(now[place] for place in step.inputs)))
        now.append(len(steps))
        tensors |= {name: tensor for name, tensor in double.items() if name.rpartition(".")[0] == step.name}
    return Program(program.shape, tuple(steps), tensors)
