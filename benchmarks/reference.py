"""A ladder the plain way, as the field's reference framework (OpenLTH) trains one: what `studies` compares with.

A DataLoader with transforms example by example, masks multiplied in every forward, one network at a time, rewinding to
the start, the lowest magnitudes of all layers but the output pruned together, the test set measured after a training.

    python -m benchmarks.reference FOLDER WIDTH EPOCHS LEVELS BEGUN    one process, one thread, begun at a time

prints as JSON the test errors, and what start, epochs and the rest of each rung took: on the clock, processor's time.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from benchmarks.plain import LeNet, Pruned, Transformed
from prunescope.data import Dataset, load

BATCH, RATE, FRACTION = 128, 0.1, 0.2


class Stopwatch:
    """What went by since it was asked last: seconds on the clock, and of this process's processor time."""

    def __init__(self, begun: float) -> None:
        self._last = begun, 0.0

    def lap(self) -> tuple[float, float]:
        """Return both; the first time, those since the process began."""
        before, self._last = self._last, (time.time(), time.process_time())
        return self._last[0] - before[0], self._last[1] - before[1]


@dataclass
class Course:
    """What a ladder took, and the test error of each rung."""

    start: tuple[float, float]
    epochs: list[tuple[float, float]] = field(default_factory=list)
    rungs: list[tuple[float, float]] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)


def ladder(dataset: Dataset, width: float, epochs: int, levels: int, watch: Stopwatch) -> Course:
    """Train a ladder of LeNets."""
    model = Pruned(LeNet(dataset.train_images[0].size, width, dataset.classes))
    start = {name: values.clone() for name, values in model.model.state_dict().items()}
    loader = DataLoader(Transformed(dataset, moved=False), BATCH, shuffle=True)
    tests = DataLoader(Transformed(dataset, moved=False, test=True), BATCH)
    course = Course(watch.lap())
    for level in range(levels + 1):
        model.model.load_state_dict(start)
        rule = torch.optim.SGD(model.parameters(), lr=RATE)
        model.train()
        for _ in range(epochs):
            for x, labels in loader:
                rule.zero_grad()
                F.cross_entropy(model(x), labels).backward()  # type: ignore[no-untyped-call]
                rule.step()
            course.epochs.append(watch.lap())
        model.eval()
        with torch.no_grad():
            wrong = sum(int((model(x).argmax(1) != labels).sum()) for x, labels in tests)
        course.errors.append(wrong / len(dataset.test_labels))
        _prune(model, (1 - FRACTION) ** (level + 1))
        course.rungs.append(watch.lap())
    return course


def _prune(model: Pruned, density: float) -> None:
    """Keep a share of the weights, those of highest magnitude, over all layers but the output."""
    weights = [values for values in model.model.parameters() if values.ndim > 1][:-1]
    masks = [model.get_buffer(f"mask{place}") for place in range(len(weights))]
    sizes = torch.cat([(values * mask).abs().flatten() for values, mask in zip(weights, masks, strict=True)]).detach()
    lowest = float(sizes.sort().values[-round(density * len(sizes))])
    for values, mask in zip(weights, masks, strict=True):
        mask.mul_(values.detach().abs() >= lowest)


def main(words: list[str]) -> None:
    """Train a ladder."""
    folder, width, begun = Path(words[0]), float(words[1]), float(words[4])
    epochs, levels = map(int, words[2:4])
    torch.set_num_threads(1)
    watch = Stopwatch(begun)
    course = ladder(load("mnist", folder, fetch=False), width, epochs, levels, watch)
    print(json.dumps(asdict(course)))


if __name__ == "__main__":
    main(sys.argv[1:])
