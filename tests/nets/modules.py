"""The families as plain modules of torch, one network each, written apart from `prunescope.nets`, to hold it against.

Names of parameters and buffers are those of the designs, so that one state serves both. Below them modules such as a
user may bring.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def scaled(full: int, width: float) -> int:
    """Return channels at a width: to the nearest whole number, one at least."""
    return max(1, int(full * width + 0.5))


class LeNet(nn.Module):
    """Hidden layers of 300, 100, 100, ... units."""

    def __init__(self, inputs: int, depth: int, width: float, classes: int) -> None:
        super().__init__()
        sizes = [inputs, scaled(300, width), *[scaled(100, width)] * (depth - 2)]
        for layer in range(1, depth):
            self.add_module(f"hidden{layer}", nn.Linear(sizes[layer - 1], sizes[layer]))
        self.output = nn.Linear(sizes[-1], classes)
        self.depth = depth

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for layer in range(1, self.depth):
            x = torch.relu(self.get_submodule(f"hidden{layer}")(x))
        return cast(Tensor, self.output(x))


class ConvNorm(nn.Module):
    """A convolution without bias, and its normalisation."""

    def __init__(self, channels: int, out: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, padding=(kernel - 1) // 2, bias=False)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.norm(self.conv(x)))


class Block(nn.Module):
    """Two convolutions and the way around them."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out)
        if stride == 2 or channels != out:
            self.shortcut: nn.Module = ConvNorm(channels, out, 1, stride)
        else:
            self.shortcut = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return torch.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    """6D + 2 layers of 16, 32, 64 filters."""

    def __init__(self, channels: int, depth: int, width: float, classes: int) -> None:
        super().__init__()
        self.stem = ConvNorm(channels, scaled(16, width))
        now = scaled(16, width)
        for segment, full in enumerate((16, 32, 64)):
            blocks = nn.Module()
            for block in range((depth - 2) // 6):
                stride = 2 if segment > 0 and block == 0 else 1
                blocks.add_module(f"block{block}", Block(now, scaled(full, width), stride))
                now = scaled(full, width)
            self.add_module(f"segment{segment}", blocks)
        self.output = nn.Linear(now, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        for segment in range(3):
            for block in self.get_submodule(f"segment{segment}").children():
                x = block(x)
        return cast(Tensor, self.output(F.adaptive_avg_pool2d(x, 1).flatten(1)))


class VGG(nn.Module):
    """Thirteen convolutions, pooled between five groups of them."""

    sizes = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)

    def __init__(self, channels: int, width: float, classes: int) -> None:
        super().__init__()
        now = channels
        for layer, full in enumerate(size for size in self.sizes if size):
            self.add_module(f"conv{layer}", nn.Conv2d(now, scaled(full, width), 3, padding=1, bias=False))
            self.add_module(f"norm{layer}", nn.BatchNorm2d(scaled(full, width)))
            now = scaled(full, width)
        self.output = nn.Linear(now, classes)

    def forward(self, x: Tensor) -> Tensor:
        layer = 0
        for size in self.sizes:
            if size:
                conv, norm = self.get_submodule(f"conv{layer}"), self.get_submodule(f"norm{layer}")
                x, layer = torch.relu(norm(conv(x))), layer + 1
            elif x.shape[-1] > 1:
                x = F.max_pool2d(x, 2)
        return cast(Tensor, self.output(x.mean((2, 3))))


def plain(family: str, shape: tuple[int, int, int], depth: int, width: float, classes: int) -> nn.Module:
    """Return a member of a family as a module, in double precision."""
    channels, height, wide = shape
    module: nn.Module
    if family == "lenet":
        module = LeNet(channels * height * wide, depth, width, classes)
    elif family == "cifar-resnet":
        module = ResNet(channels, depth, width, classes)
    else:
        module = VGG(channels, width, classes)
    return module.double()


class Own(nn.Module):
    """A convolution with normalisation, two linear layers; ``view`` instead of ``flatten``, as users write."""

    def __init__(self, channels: int, filters: int, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, filters, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(filters)
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()
        self.hidden = nn.Linear(channels * 64, 6)
        self.output = nn.Linear(filters * 16 + 6, classes)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm(self.conv(x)))
        z = torch.relu(self.hidden(x.view(len(x), -1)))
        return cast(Tensor, self.output(self.drop(torch.cat([y.flatten(1), z], 1))))


def own(depth: int, width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Return a module that vmap follows."""
    return Own(shape[0], depth + scaled(2, width), classes)


def with_dropout(depth: int, width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Return a module that draws random numbers in training."""
    return Own(shape[0], depth + scaled(2, width), classes, dropout=0.4)


class Attention(nn.Module):
    """A small vision transformer, whose projections of queries, keys and values are one matrix of the module."""

    def __init__(self, channels: int, features: int, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, features))
        self.place = nn.Parameter(0.1 * torch.randn(1, 17, features))
        self.patch = nn.Conv2d(channels, features, 2, 2)
        self.block = nn.TransformerEncoderLayer(
            features, 2, 2 * features, dropout=dropout, batch_first=True, norm_first=True
        )
        self.norm = nn.LayerNorm(features)
        self.head = nn.Linear(features, classes)

    def forward(self, x: Tensor) -> Tensor:
        y = self.patch(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.token.expand(len(y), -1, -1), y], 1) + self.place
        return cast(Tensor, self.head(self.norm(self.block(y)[:, 0])))


class Tied(nn.Module):
    """Two layers that share one weight, behind a layer that is left as it was drawn."""

    def __init__(self, channels: int, units: int, classes: int) -> None:
        super().__init__()
        self.frozen = nn.Linear(channels * 64, units).requires_grad_(False)
        self.one = nn.Linear(units, units)
        self.two = nn.Linear(units, units)
        self.two.weight = self.one.weight
        self.output = nn.Linear(units, classes)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.frozen(x.flatten(1)))
        return cast(Tensor, self.output(torch.relu(self.two(torch.relu(self.one(y))))))


def attention(depth: int, width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Return a module with attention and normalisation of layers."""
    return Attention(shape[0], 8, classes)


def tied(depth: int, width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Return a module with a tied and a frozen layer."""
    return Tied(shape[0], 6, classes)
