"""Networks of one's own: their test errors in the lab against plain loops of the same recipe, on the digits.

Starts, orders and moves are drawn independently, so the two means may differ by chance: by a standard error or two.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.clock import Figure
from benchmarks.modules import Transformer
from prunescope.data import load
from prunescope.run import run_study
from prunescope.study import Axes, Recipe, Study, Treatment
from prunescope.table import Store

SEEDS, EPOCHS, BATCH, CLASSES = 8, 8, 32, 10
RECIPE = Recipe(
    epochs=EPOCHS, batch=BATCH, learning_rate=0.05, momentum=0.9, weight_decay=5e-4, schedule="cosine", levels=0
)


def cnn(depth: int, width: float, classes: int) -> nn.Module:
    """Return convolutions with normalisation."""
    del depth, width
    layers: list[nn.Module] = []
    for first, second in ((1, 16), (16, 32)):
        layers += [nn.Conv2d(first, second, 3, padding=1), nn.BatchNorm2d(second), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 4, classes))


def vit(depth: int, width: float, classes: int) -> nn.Module:
    """Return a small vision transformer."""
    del depth, width, classes
    return Transformer()


def dropout(depth: int, width: float, classes: int) -> nn.Module:
    """Return linear layers with dropout."""
    del depth, width
    hidden = [
        nn.Flatten(),
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(64, 32),
        nn.ReLU(),
        nn.Dropout(0.3),
    ]
    return nn.Sequential(*hidden, nn.Linear(32, classes))


class _Block(nn.Module):
    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(),
            nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out),
        )  # fmt: skip
        same = stride == 1 and channels == out
        around = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.around = nn.Identity() if same else around

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.main(x) + self.around(x))


def resnet18(depth: int, width: float, classes: int) -> nn.Module:
    """Return a ResNet-18, an eighth as wide, with a 3x3 stem for small pictures."""
    del depth, width
    layers: list[nn.Module] = [nn.Conv2d(1, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    channels = 8
    for out, stride in ((8, 1), (16, 2), (32, 2), (64, 2)):
        layers += [_Block(channels, out, stride), _Block(out, out, 1)]
        channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def measure() -> Iterator[Figure]:
    """Yield each module's errors in the lab and in plain loops, and how many standard errors their means differ by."""
    for make in (cnn, vit, resnet18, dropout):
        ours, theirs = _in_the_lab(make), [_in_a_loop(make, seed) for seed in range(SEEDS)]
        apart = math.sqrt((np.var(ours, ddof=1) + np.var(theirs, ddof=1)) / SEEDS)
        yield f"{make.__name__}: test error in the lab", "%", [100 * error for error in ours]
        yield f"{make.__name__}: test error in a plain loop", "%", [100 * error for error in theirs]
        yield f"{make.__name__}: difference", "standard errors", [float(np.mean(ours) - np.mean(theirs)) / apart]


def _in_the_lab(make: Callable[..., nn.Module]) -> list[float]:
    axes = Axes(dataset=("digits",), family=(f"benchmarks.agreement:{make.__name__}",), depth=(2,), width=(1.0,))
    study = Study("agreement", (axes,), RECIPE, (Treatment(kind="dense"),), replicates=SEEDS)
    with tempfile.TemporaryDirectory() as folder:
        report = run_study(study, folder, workers=1)
        if report.failures:
            raise RuntimeError(str(report.failures))
        return [float(error) for error in Store(folder).table()["test_error"]]


def _in_a_loop(make: Callable[..., nn.Module], seed: int) -> float:
    torch.manual_seed(1_000 + seed)
    digits = load("digits")
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (digits.mean, digits.std))
    x, test = ((torch.tensor(images).float() - mean) / std for images in (digits.train_images, digits.test_images))
    labels, answers = torch.tensor(digits.train_labels), torch.tensor(digits.test_labels)
    model = make(2, 1.0, CLASSES)
    rule = torch.optim.SGD(model.parameters(), RECIPE.learning_rate, momentum=0.9, weight_decay=5e-4)
    steps = EPOCHS * -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(rule, steps)
    for _ in range(EPOCHS):
        for batch in torch.split(torch.randperm(len(x)), BATCH):
            rule.zero_grad()
            F.cross_entropy(model(x[batch].float()), labels[batch]).backward()  # type: ignore[no-untyped-call]
            rule.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        return float((model(test.float()).argmax(1) != answers).double().mean())
