"""The plain way, to compare with: one network, a DataLoader, transforms example by example, masks in every forward.

It does what the field's framework for such studies (OpenLTH, with torchvision's transforms) does to each example: makes
it a PIL picture, moves it, turns it into a tensor of numbers from 0 to 1, normalises it by channel. Written as it is
written there; nothing clever and nothing slow on purpose.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as Examples

from prunescope.data import Dataset
from prunescope.study.sections import Recipe

PADDING = 4


class Transformed(Examples[tuple[Tensor, int]]):
    """One example at a time: a PIL picture, moved where asked for, to a tensor, normalised by channel."""

    def __init__(self, dataset: Dataset, moved: bool, test: bool = False) -> None:
        images = (dataset.test_images if test else dataset.train_images).transpose(0, 2, 3, 1)
        self._images = np.ascontiguousarray(images if images.shape[-1] > 1 else images[..., 0])
        self._labels = (dataset.test_labels if test else dataset.train_labels).tolist()
        self._moved = moved
        self._mean = [mean / 255 for mean in dataset.mean]
        self._std = [deviation / 255 for deviation in dataset.std]

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self._images[place])
        if self._moved:
            width, height = picture.size
            if torch.rand(1).item() < 0.5:
                picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            padded = ImageOps.expand(picture, PADDING)
            down, right = torch.randint(0, 2 * PADDING + 1, (2,)).tolist()
            picture = padded.crop((right, down, right + width, down + height))
        return _normalised(_tensor(picture), self._mean, self._std), self._labels[place]


def _tensor(picture: Image.Image) -> Tensor:
    """Turn a picture into numbers from 0 to 1, channels first, as torchvision's ToTensor does."""
    bytes_ = torch.from_numpy(np.array(picture, copy=True)).view(picture.size[1], picture.size[0], -1)
    return bytes_.permute(2, 0, 1).contiguous().to(torch.float32).div(255)


def _normalised(values: Tensor, mean: list[float], std: list[float]) -> Tensor:
    """Normalise by channel, as torchvision's Normalize does."""
    values = values.clone()
    means = torch.as_tensor(mean, dtype=values.dtype, device=values.device)
    deviations = torch.as_tensor(std, dtype=values.dtype, device=values.device)
    if (deviations == 0).any():
        raise ValueError("a channel without spread cannot be normalised")
    return values.sub_(means.view(-1, 1, 1)).div_(deviations.view(-1, 1, 1))


class LeNet(nn.Module):
    """Fully connected, 300 and 100 hidden units times a width factor."""

    def __init__(self, inputs: int, width: float, classes: int) -> None:
        super().__init__()
        first, second = max(1, round(300 * width)), max(1, round(100 * width))
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(inputs, first),
            nn.ReLU(),
            nn.Linear(first, second),
            nn.ReLU(),
            nn.Linear(second, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, or a block's output."""
        logits: Tensor = self.layers(x)
        return logits


class Block(nn.Module):
    """Two convolutions and a way past them."""

    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(filters)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != filters:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, filters, 1, bias=False), nn.BatchNorm2d(filters))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, or a block's output."""
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        # A slice, then stride 1: oneDNN's strided 1x1 convolution writes outside its memory on the way back where
        # channels are few (uxlfoundation/oneDNN issue 6035).
        past = x[:, :, :: self.stride, :: self.stride] if len(self.shortcut) else x
        return F.relu(y + self.shortcut(past))


class ResNet(nn.Module):
    """ResNet for small pictures, 6D + 2 layers, 16 channels at first times a width factor."""

    def __init__(self, depth: int, width: float, classes: int) -> None:
        super().__init__()
        channels = max(1, round(16 * width))
        self.conv = nn.Conv2d(3, channels, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        blocks = []
        for segment in range(3):
            filters = max(1, round(16 * 2**segment * width))
            for block in range((depth - 2) // 6):
                blocks.append(Block(channels, filters, 2 if segment > 0 and block == 0 else 1))
                channels = filters
        self.blocks = nn.Sequential(*blocks)
        self.output = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, or a block's output."""
        y = self.blocks(F.relu(self.norm(self.conv(x))))
        logits: Tensor = self.output(y.mean((2, 3)))
        return logits


class Pruned(nn.Module):
    """A model whose weights are multiplied by their masks before every forward."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._masked = [each for each in model.parameters() if each.ndim > 1]
        for place, each in enumerate(self._masked):
            self.register_buffer(f"mask{place}", torch.ones_like(each))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, or a block's output."""
        with torch.no_grad():
            for place, each in enumerate(self._masked):
                each.mul_(self.get_buffer(f"mask{place}"))
        logits: Tensor = self.model(x)
        return logits


class Loop:
    """A training that can be gone on with, some steps at a time."""

    def __init__(self, dataset: Dataset, recipe: Recipe, family: str, depth: int, width: float, device: str) -> None:
        inputs = dataset.train_images[0].size
        lenet = family == "lenet"
        model = LeNet(inputs, width, dataset.classes) if lenet else ResNet(depth, width, dataset.classes)
        self._device = torch.device(device)
        self._model = Pruned(model).to(self._device)
        self._rule = torch.optim.SGD(
            self._model.parameters(),
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
        )
        examples = Transformed(dataset, recipe.augment == "flip-crop")
        self._loader = DataLoader(examples, recipe.batch, shuffle=True, num_workers=0, drop_last=True)
        self._batches = self._endless()

    def _endless(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from self._loader

    def seconds(self, steps: int) -> float:
        """Return the seconds that some steps take."""
        begun = time.perf_counter()
        for _ in range(steps):
            x, labels = next(self._batches)
            x, labels = x.to(self._device), labels.to(self._device)
            self._rule.zero_grad()
            loss = F.cross_entropy(self._model(x), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            self._rule.step()
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begun
