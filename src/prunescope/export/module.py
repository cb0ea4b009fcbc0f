"""An exported network as a plain module of torch: from its file in one line, used, saved or traced like any other.

Nothing that a file contains is run.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prunescope.errors import DamageError, Fault, InputError, clipped, listed
from prunescope.export.checkpoint import RECORDED, Card, SavedNetwork, read
from prunescope.export.program import Arrays, Program, Shape, Step
from prunescope.nets.custom import Custom
from prunescope.nets.families import factory_of
from prunescope.nets.grouped_convolutions import EPSILON
from prunescope.study.catalogue import is_import_path, is_library_name
from prunescope.study.import_path import import_function


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
                case "concat":
                    output = torch.cat([first, values[step.inputs[1]]], 1)
                case "max_pool":
                    output = nn.functional.max_pool2d(first, 2)
                case "max_pool_3":
                    output = nn.functional.max_pool2d(first, 3, 2, 1)
                case "halve":
                    output = nn.functional.avg_pool2d(first, 2)
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


class OwnNetwork(nn.Module):
    """A user's own module behind the scaling of its pictures."""

    card: Card

    def __init__(self, module: nn.Module, input_: Scaled) -> None:
        super().__init__()
        self.input = input_
        self.network = module

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.network(self.input(pictures))
        return logits


def load_network(
    path: str | os.PathLike[str], factory: str | Callable[..., Any] | None = None
) -> Plain | OwnNetwork | Any:
    """Return an exported network as a plain module in evaluation mode.

    One that was recorded from a loop of one's own is the module that ``factory`` makes, with its weights. Any other
    takes pictures ``[B, channels, height, width]`` with values from 0 to 255, bytes or floats, and returns logits;
    the scaling of its training is within it. ``module.card`` says what it is and where it comes from.

    Parameters
    ----------
    factory
        The function that makes a network of one's own, or its import path ``package.module:function``. Needed only for
        those: a file names its factory, but never decides what is imported.
    """
    saved = read(Path(path))
    return build_module(saved, str(path), factory)


def build_module(
    saved: SavedNetwork, source: str, factory: str | Callable[..., Any] | None = None
) -> Plain | OwnNetwork | Any:
    """Return the module of what a file holds."""
    card = saved.card
    module: Plain | OwnNetwork
    if card.form == RECORDED:
        if factory is None:
            must = "must be given: this network was recorded from a training loop of your own"
            hint = "It is a function that makes such a model: load_network(path, factory=make)."
            raise InputError(source, [Fault("factory", must, hint=hint)])
        make = import_function(factory) if isinstance(factory, str) else factory
        return _recorded_module(saved, make, source)
    if is_import_path(card.family) or is_library_name(card.family):
        if factory is None and is_library_name(card.family):
            factory = card.family  # nothing that a file could choose: a network of an installed library
        if factory is None:
            must = f"must be named: this network is made by {card.family}, a function of its author's"
            hint = f"If you trust it: load_network(path, factory={card.family!r})."
            raise InputError(source, [Fault("factory", must, hint=hint)])
        make = factory_of(factory) if isinstance(factory, str) else factory
        module = own_module(card, make, saved.tensors, source)
    else:
        module = plain_module(Program(card.shape, saved.steps, saved.tensors), card, source)
    module.card = card
    module.eval()
    return module


def made(make: Callable[..., Any], depth: int, width: float) -> nn.Module:
    """Return the model that a function makes; it gets those of depth, width and seed that it has as parameters."""
    arguments = {"depth": depth, "width": width, "seed": 0}
    names = inspect.signature(make).parameters
    model = make(**{name: value for name, value in arguments.items() if name in names})
    if not isinstance(model, nn.Module):
        raise InputError("the export", [Fault("factory", "must return a torch.nn.Module", type(model).__name__)])
    return model


def _recorded_module(saved: SavedNetwork, factory: Callable[..., Any], source: str) -> nn.Module:
    """Return the module of a recorded network's file."""
    module = made(factory, saved.card.depth, saved.card.width)
    fill(module, saved.tensors, source)
    module.card = saved.card  # type: ignore[assignment]
    module.eval()
    return module


def fill(module: nn.Module, tensors: Arrays, source: str) -> None:
    """Set a module's parameters and saved buffers."""
    places = places_of(module)
    unlike = [
        name
        for name in sorted({*places, *tensors})
        if name not in places or name not in tensors or tuple(places[name].shape) != tensors[name].shape
    ]
    if unlike:
        must = "must have the tensors of the network that was recorded, of the same names and shapes"
        raise InputError(source, [Fault("the model", must, f"others at {listed(unlike)}")])
    with torch.no_grad():
        for name, place in places.items():
            place.copy_(torch.from_numpy(np.array(tensors[name])))


def places_of(module: nn.Module) -> dict[str, Tensor]:
    """Return a module's parameters and the buffers that it saves, by name."""
    saved = module.state_dict(keep_vars=True)
    buffers = {name: buffer for name, buffer in module.named_buffers() if name in saved}
    return {**dict(module.named_parameters()), **buffers}


def scaling(mean: tuple[float, ...], std: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """Return what bytes are multiplied by and what is added to them, as in training."""
    scale = torch.tensor([1 / value for value in std], dtype=torch.float64)
    shift = torch.tensor([-m / d for m, d in zip(mean, std, strict=True)], dtype=torch.float64)
    return scale.float(), shift.float()


def plain_module(program: Program, card: Card, source: str) -> Plain:
    """Return the module of a program, after a check that it fits together."""
    if not program.steps or program.shapes[-1] != (card.classes,):
        raise DamageError(f"{source} is damaged: its steps do not lead to {card.classes} logits")
    for name, values in program.tensors.items():
        wanted = np.int64 if name.endswith(".places") else np.float32
        if values.dtype != wanted:
            raise DamageError(f"{source} is damaged: its tensors make no network: {name} is of {values.dtype}")
    try:
        return Plain(program, *scaling(card.mean, card.std))
    except (KeyError, ValueError, TypeError, RuntimeError, AttributeError) as trouble:
        raise DamageError(f"{source} is damaged: its tensors make no network: {clipped(str(trouble))}") from None


def own_module(card: Card, make: Callable[..., object], tensors: Arrays, source: str) -> OwnNetwork:
    """Return a user's own module with the tensors of a file."""
    network = Custom(make, card.family, card.shape, card.depth, card.width, card.classes)
    module = network.module()
    places = dict([*module.named_parameters(), *module.named_buffers()])
    unlike = [
        name
        for name in sorted({*places, *tensors})
        if name not in places or name not in tensors or tuple(places[name].shape) != tensors[name].shape
    ]
    if unlike:
        must = "must make the module that was exported: tensors of the same names and shapes"
        raise InputError(source, [Fault(card.family, must, f"others at {listed(unlike)}")])
    with torch.no_grad():
        for name, place in places.items():
            place.copy_(torch.from_numpy(tensors[name].copy()))
    return OwnNetwork(module, Scaled(card.shape, *scaling(card.mean, card.std)))
