"""From a member of a family and its tensors to a program, by walking the design once."""

from __future__ import annotations

from prunescope.errors import Fault, InputError
from prunescope.export.program import Arrays, Program, Shape, Step, shape_of
from prunescope.nets import Designed, Network


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

    def norm(self, x: int, name: str) -> int:
        return self._add(Step("norm", (x,), name))

    def linear(self, x: int, name: str, out: int) -> int:
        del out
        return self._add(Step("linear", (x,), name))

    def relu(self, x: int) -> int:
        return self._add(Step("relu", (x,)))

    def add(self, x: int, y: int) -> int:
        return self._add(Step("add", (x, y)))

    def max_pool(self, x: int) -> int:
        return self._add(Step("max_pool", (x,))) if min(self.shapes[x][1:]) > 1 else x

    def mean_pool(self, x: int) -> int:
        return self._add(Step("mean_pool", (x,)))

    def flatten(self, x: int) -> int:
        return self._add(Step("flatten", (x,)))

    def channels(self, x: int) -> int:
        return self.shapes[x][0]


def traced(network: Network, tensors: Arrays) -> Program:
    """Return a member of a family with these tensors as a program."""
    if not isinstance(network, Designed):
        must = "must be of prunescope's own families: the ways through another module are not known"
        raise InputError("the export", [Fault("the network", must)])
    walk = _Traced(network.shape, tensors)
    network.design(walk, 0, network.depth, network.width, network.classes)
    return Program(network.shape, tuple(walk.steps), tensors)
