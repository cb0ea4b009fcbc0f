"""A program as a plain module of torch, to be used, saved, or traced like any other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from prunescope.export.checkpoint import Card
from prunescope.export.program import Arrays, Program, Shape, Step
from prunescope.nets.grouped_convolutions import EPSILON


class Scaled(nn.Module):
    """Pictures as bytes, or as floats from 0 to 255, turned into ``picture * scale + shift``, channel by channel."""

    scale: Tensor
    shift: Tensor

    def __init__(self, shape: Shape, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("scale", scale.view(-1, 1, 1))
        self.register_buffer("shift", shift.view(-1, 1, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        """Check and scale a batch."""
        if pictures.shape[1:] != self.shape:
            sizes = ", ".join(map(str, self.shape))
            raise ValueError(f"pictures must be [B, {sizes}] with values from 0 to 255, not {list(pictures.shape)}")
        return pictures.to(self.scale.dtype) * self.scale + self.shift


class Plain(nn.Module):
    """A network of prunescope's families, whole or with units removed.

    Takes pictures ``[B, channels, height, width]`` with values from 0 to 255, bytes or floats, and returns logits
    ``[B, classes]``. The names in its state dict are those of the design, beside ``input.scale`` and ``input.shift``.
    """

    card: Card

    def __init__(self, program: Program, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.steps = program.steps
        self.input = Scaled(program.shape, scale, shift)
        for step in program.steps:
            layer = _part(step, program.tensors)
            if layer is not None:
                _place(self, step.name, layer)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the logits."""
        values = [self.input(pictures)]
        for step in self.steps:
            first = values[step.inputs[0]]
            match step.kind:
                case "relu":
                    output = torch.relu(first)
                case "add":
                    output = first + values[step.inputs[1]]
                case "max_pool":
                    output = nn.functional.max_pool2d(first, 2)
                case "mean_pool":
                    output = first.mean((2, 3))
                case "flatten":
                    output = first.flatten(1)
                case _:
                    output = self.get_submodule(step.name)(first)
            values.append(output)
        logits: Tensor = values[-1]
        return logits


class Take(nn.Module):
    """Some of the features."""

    places: Tensor

    def __init__(self, places: Tensor) -> None:
        super().__init__()
        self.register_buffer("places", places)

    def forward(self, x: Tensor) -> Tensor:
        """Choose them."""
        return x.index_select(1, self.places)


class Shift(nn.Module):
    """A number added to each channel or feature."""

    def __init__(self, bias: Tensor) -> None:
        super().__init__()
        self.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """Add them."""
        return x + self.bias.view(-1, *[1] * (x.ndim - 2))


class Constant(nn.Module):
    """The same numbers for every example."""

    value: Tensor

    def __init__(self, value: Tensor, size: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("value", value)
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Repeat them for each example of a batch."""
        return self.value.view(-1, *[1] * len(self.size)).expand(len(x), -1, *self.size)


def _part(step: Step, tensors: Arrays) -> nn.Module | None:
    """Return the module of a step that has tensors."""
    weights = {
        name.rpartition(".")[2]: torch.from_numpy(values.copy())
        for name, values in tensors.items()
        if step.name and name.rpartition(".")[0] == step.name
    }
    match step.kind:
        case "conv":
            out, channels, kernel, _ = weights["weight"].shape
            conv = nn.Conv2d(channels, out, kernel, step.stride, kernel // 2, bias="bias" in weights, device="meta")
            return _filled(conv, weights)
        case "linear":
            out, features = weights["weight"].shape
            return _filled(nn.Linear(features, out, device="meta"), weights)
        case "norm":
            norm = nn.BatchNorm2d(len(weights["weight"]), eps=EPSILON, device="meta")
            norm.num_batches_tracked = None
            return _filled(norm, weights)
        case "take":
            return Take(weights["places"])
        case "shift":
            return Shift(weights["bias"])
        case "constant":
            return Constant(weights["value"], step.size)
        case _:
            return None


def _filled(module: nn.Module, tensors: dict[str, Tensor]) -> nn.Module:
    trained = {name for name, _ in module.named_parameters()}
    for name, values in tensors.items():
        setattr(module, name, nn.Parameter(values) if name in trained else values)
    return module


def _place(root: nn.Module, name: str, layer: nn.Module) -> None:
    """Put a module under a name with dots, as ``segment0.block1.conv1``; names that are taken are refused."""
    *above, last = name.split(".")
    home = root
    for child in above:
        if child not in home._modules:
            home.add_module(child, nn.Module())
        home = home.get_submodule(child)
    if hasattr(home, last):
        raise ValueError(f"{name} is the name of something else")
    home.add_module(last, layer)
