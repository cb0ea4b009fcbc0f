"""A user's own modules: a step of a cohort's member against a loop over the bare module, one thread, in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.clock import Figure
from prunescope.nets.cohort import Layout
from prunescope.nets.custom import Custom
from prunescope.run.tune import threads
from prunescope.study.sections import Recipe
from prunescope.train.engine import AutogradEngine

MEMBERS, TURNS, CLASSES = 8, 16, 10
RECIPE = Recipe(epochs=1, batch=1, learning_rate=0.01, momentum=0.9, weight_decay=1e-4, levels=1)
Make = Callable[[], nn.Module]


def _linear(first: int, second: int, dropout: float = 0.0) -> Make:
    def make() -> nn.Module:
        drop = [nn.Dropout(dropout)] if dropout else []
        layers = [nn.Linear(784, first), nn.ReLU(), *drop, nn.Linear(first, second), nn.ReLU()]
        return nn.Sequential(nn.Flatten(), *layers, nn.Linear(second, CLASSES))

    return make


def _convolutions(depth: int, channels: int, filters: int) -> Make:
    def make() -> nn.Module:
        layers: list[nn.Module] = []
        for layer in range(depth):
            layers += [nn.Conv2d(filters if layer else channels, filters, 3, padding=1), nn.BatchNorm2d(filters)]
            layers += [nn.ReLU(), *([nn.MaxPool2d(2)] if layer % 2 else [])]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(filters, CLASSES))

    return make


class Transformer(nn.Module):
    """Two blocks of 32 features over patches of 2x2."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, 32, 2, 2)
        self.places = nn.Parameter(torch.zeros(1, 16, 32))
        parts = (nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True, norm_first=True) for _ in range(2))
        self.blocks = nn.Sequential(*parts)
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        y = self.patch(x).flatten(2).transpose(1, 2) + self.places
        logits: Tensor = self.head(self.blocks(y).mean(1))
        return logits


MODULES: dict[str, tuple[Make, tuple[int, int, int], int]] = {
    "linear layers 784-300-100": (_linear(300, 100), (1, 28, 28), 128),
    "linear layers 784-38-12": (_linear(38, 12), (1, 28, 28), 128),
    "the same with dropout": (_linear(38, 12, 0.1), (1, 28, 28), 128),
    "3 convolutions of 8 channels": (_convolutions(3, 1, 8), (1, 8, 8), 64),
    "4 convolutions of 32 channels": (_convolutions(4, 3, 32), (3, 16, 16), 64),
    "a transformer of 2 blocks": (Transformer, (1, 8, 8), 64),
}


def measure() -> Iterator[Figure]:
    """Measure each module in turns: the plain loop, members one at a time, members together."""
    with threads(1):
        for name, (make, shape, batch) in MODULES.items():
            yield from _compared(name, make, shape, batch)


def _compared(name: str, make: Make, shape: tuple[int, int, int], batch: int) -> Iterator[Figure]:
    net = Custom(lambda depth, width, classes: make(), name, shape, 2, 1.0, CLASSES)
    starts = [net.start(np.random.default_rng(member)) for member in range(MEMBERS)]
    tensors = {key: torch.from_numpy(np.stack([start[key] for start in starts])) for key in starts[0]}
    layers = net.outline.prunable("all")
    masks = {layer.name: (torch.rand(MEMBERS, *layer.shape) < 0.5).float() for layer in layers}
    x = torch.randn(MEMBERS, batch, *shape[1:], shape[0])
    labels = torch.randint(0, CLASSES, (MEMBERS, batch))
    layouts = {"one at a time": Layout(1)} | ({"together": Layout(MEMBERS)} if net.together else {})
    engines = {way: AutogradEngine(net, RECIPE, tensors, masks, layout) for way, layout in layouts.items()}
    plain = _plain(
        make(), x[0].permute(0, 3, 1, 2).contiguous(), labels[0], {key: mask[0] for key, mask in masks.items()}
    )
    times: dict[str, list[float]] = {way: [] for way in ("plain", *engines)}
    for _ in range(TURNS):
        times["plain"].append(_thread_seconds(lambda: [plain() for _ in range(MEMBERS)]) / MEMBERS)
        for way, engine in engines.items():
            times[way].append(_thread_seconds(lambda engine=engine: engine.step(x, labels, 0.01)) / MEMBERS)  # type: ignore[misc]
    yield f"{name}: a step of a plain loop", "ms", [1e3 * seconds for seconds in times["plain"][2:]]
    for way in engines:
        ratios = [base / seconds for base, seconds in zip(times["plain"], times[way], strict=True)]
        yield f"{name}: times as fast {way}", "x", ratios[2:]


def _plain(module: nn.Module, x: Tensor, labels: Tensor, masks: dict[str, Tensor]) -> Callable[[], None]:
    parameters = dict(module.named_parameters())
    rule = torch.optim.SGD(parameters.values(), lr=0.01, momentum=0.9, weight_decay=1e-4)

    def step() -> None:
        rule.zero_grad()
        F.cross_entropy(module(x), labels).backward()  # type: ignore[no-untyped-call]
        rule.step()
        with torch.no_grad():
            for name, mask in masks.items():
                parameters[name].mul_(mask)

    return step


def _thread_seconds(call: Callable[[], object]) -> float:
    begun = time.thread_time()
    call()
    return time.thread_time() - begun
