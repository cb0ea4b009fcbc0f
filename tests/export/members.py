"""Members of the families with random masks, shifts, biases and running statistics, in double precision."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from prunescope.export.program import Program
from prunescope.nets import Designed, network
from tests.nets.members import ALONE, stacked

Arrays = dict[str, np.ndarray]
SHAPE = (2, 8, 8)
LARGE = (2, 67, 40)  # networks made for ImageNet begin otherwise
MEMBERS = [
    ("lenet", 2, 0.05),
    ("lenet", 4, 0.1),
    ("cifar-resnet", 14, 0.25),
    ("vgg", 16, 1 / 16),
    ("imagenet-resnet", 50, 1 / 32),
    ("densenet", 121, 1 / 16),
]


def member(family: str, depth: int, width: float, shape: tuple[int, int, int] = SHAPE) -> Designed:
    net = network(family, depth, width, 5, shape)
    assert isinstance(net, Designed)
    return net


def masked(net: Designed, density: float, seed: int, empty: tuple[str, ...] = ()) -> Arrays:
    """Draw tensors, keep a share of the weights, and none of the layers ``empty``."""
    chance = np.random.default_rng(seed)
    drawn = {name: array[0].numpy() for name, array in stacked(net, 1, seed).items()}
    for parameter in net.outline.prunable("all"):
        gone = chance.random(parameter.shape) >= density
        drawn[parameter.name] = np.where(gone | (parameter.name in empty), 0.0, drawn[parameter.name])
    return drawn


def pictures(count: int = 6, seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> Tensor:
    """Draw inputs as they are after scaling, channels first."""
    return torch.randn(count, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def original(net: Designed, tensors: Arrays, x: Tensor) -> Tensor:
    """Return the logits of the network as it is trained."""
    alone = {name: torch.from_numpy(array)[None] for name, array in tensors.items()}
    moved = x.permute(0, 2, 3, 1).contiguous() if net.pictures else x.flatten(1)
    with torch.no_grad():
        return net.logits(alone, moved[None], False, ALONE)[0]


def computed(program: Program, x: Tensor) -> Tensor:
    """Return the logits of a program as a module, its input as it is."""
    from prunescope.export.module import Plain

    ones = torch.ones(SHAPE[0], dtype=torch.float64)
    with torch.no_grad():
        logits: Tensor = Plain(program, ones, 0 * ones).double().eval()(x)
    return logits
