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


class Bottleneck(nn.Module):
    """A 3x3 convolution between two of 1x1, and the way around them."""

    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(filters)
        self.conv3 = nn.Conv2d(filters, 4 * filters, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(4 * filters)
        changes = stride == 2 or channels != 4 * filters
        self.shortcut: nn.Module = ConvNorm(channels, 4 * filters, 1, stride) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        y = torch.relu(self.norm2(self.conv2(y)))
        return torch.relu(self.norm3(self.conv3(y)) + self.shortcut(x))


class ImageNetResNet(nn.Module):
    """Four segments of 64, 128, 256, 512 filters."""

    def __init__(self, channels: int, depth: int, width: float, classes: int, small: bool) -> None:
        super().__init__()
        blocks = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3], 101: [3, 4, 23, 3]}[depth]
        now = scaled(64, width)
        self.stem = ConvNorm(channels, now, 3, 1) if small else ConvNorm(channels, now, 7, 2)
        self.pool: nn.Module = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        for segment, count in enumerate(blocks):
            filters = scaled(64 * 2**segment, width)
            parts = nn.Module()
            for block in range(count):
                stride = 2 if segment and not block else 1
                made = Bottleneck(now, filters, stride) if depth > 34 else Block(now, filters, stride)
                parts.add_module(f"block{block}", made)
                now = filters * (4 if depth > 34 else 1)
            self.add_module(f"segment{segment}", parts)
        self.output = nn.Linear(now, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(torch.relu(self.stem(x)))
        for segment in range(4):
            for block in self.get_submodule(f"segment{segment}").children():
                x = block(x)
        return cast(Tensor, self.output(F.adaptive_avg_pool2d(x, 1).flatten(1)))


class DenseLayer(nn.Module):
    """A bottleneck whose result is laid behind what it read."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(torch.relu(self.norm1(x)))
        return torch.cat([x, self.conv2(torch.relu(self.norm2(y)))], 1)


class NormConv(nn.Module):
    """A normalisation, a ReLU and a 1x1 convolution to half the channels; then half the size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels // 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(torch.relu(self.norm(x)))
        return F.avg_pool2d(y, 2) if min(y.shape[2:]) > 1 else y


class DenseNet(nn.Module):
    """Four segments of 6, 12, 24 and 16 layers."""

    def __init__(self, channels: int, width: float, classes: int, small: bool) -> None:
        super().__init__()
        growth = scaled(32, width)
        now = 2 * growth
        self.stem = nn.Module()
        self.stem.conv = nn.Conv2d(channels, now, 3 if small else 7, 1 if small else 2, 1 if small else 3, bias=False)
        if not small:
            self.stem.norm = nn.BatchNorm2d(now)
        for segment, layers in enumerate((6, 12, 24, 16)):
            if segment:
                self.add_module(f"transition{segment}", NormConv(now))
                now //= 2
            parts = nn.Module()
            for layer in range(layers):
                parts.add_module(f"layer{layer}", DenseLayer(now, growth))
                now += growth
            self.add_module(f"segment{segment}", parts)
        self.norm = nn.BatchNorm2d(now)
        self.output = nn.Linear(now, classes)
        self.small = small

    def forward(self, x: Tensor) -> Tensor:
        x = self.get_submodule("stem.conv")(x)
        if not self.small:
            x = F.max_pool2d(torch.relu(self.get_submodule("stem.norm")(x)), 3, 2, 1)
        for segment in range(4):
            x = self.get_submodule(f"transition{segment}")(x) if segment else x
            for layer in self.get_submodule(f"segment{segment}").children():
                x = layer(x)
        return cast(Tensor, self.output(torch.relu(self.norm(x)).mean((2, 3))))


def plain(family: str, shape: tuple[int, int, int], depth: int, width: float, classes: int) -> nn.Module:
    """Return a member of a family as a module, in double precision."""
    channels, height, wide = shape
    module: nn.Module
    if family == "lenet":
        module = LeNet(channels * height * wide, depth, width, classes)
    elif family == "cifar-resnet":
        module = ResNet(channels, depth, width, classes)
    elif family == "vgg":
        module = VGG(channels, width, classes)
    elif family == "imagenet-resnet":
        module = ImageNetResNet(channels, depth, width, classes, max(height, wide) <= 64)
    else:
        module = DenseNet(channels, width, classes, max(height, wide) <= 64)
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
