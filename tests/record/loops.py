"""Loops of somebody's own: one that does all that the lab does, and a small one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prunescope import InputError, Recorder, read_table
from prunescope.data import Dataset
from prunescope.record import Rung
from prunescope.run.ladder_runner import network_of
from prunescope.run.ladder_state import subsample_of
from prunescope.study import Ladder
from prunescope.train import seeding_of
from tests.nets.modules import plain

Settings = dict[str, Any]


def recorder_of(ladder: Ladder, folder: Path, **changes: Any) -> Recorder:
    """Return a recorder of a ladder of the lab."""
    cell, rules, treatment = ladder.cell, ladder.recipe, ladder.treatment
    settings: dict[str, Any] = {
        **vars(cell),
        "replicate": ladder.replicate,
        "seed": ladder.seed,
        "treatment": treatment.kind,
        "rewind": treatment.rewind,
        "score": treatment.score,
        "scope": treatment.scope,
        "levels": rules.levels,
        "pruning_fraction": rules.pruning_fraction,
        "rewind_epoch": rules.rewind_epoch,
        "prunable": rules.prunable,
        "recipe": {"learning rate": rules.learning_rate},
    }
    return Recorder(folder, **settings | changes)


def climb_as_the_lab(recorder: Recorder, ladder: Ladder, data: Dataset) -> None:
    """Train a ladder with modules and optimizers of torch, in the lab's order, from its starts, at its rates."""
    cell, rules, seeding = ladder.cell, ladder.recipe, seeding_of(ladder)
    net, subsample = network_of(ladder, 0, data), subsample_of(ladder, data)
    mean, std = (np.array(item)[:, None, None] for item in (data.mean, data.std))
    x, test = (
        torch.from_numpy((images - mean) / std) for images in (data.train_images[subsample.train], data.test_images)
    )
    labels, answers = torch.from_numpy(subsample.labels.copy()), torch.from_numpy(data.test_labels.copy())
    for rung in recorder:
        module = plain(cell.family, data.shape, cell.depth, cell.width, data.classes)
        again = rung.number if ladder.treatment.rewind == "reinitialise" else 0
        start = {name: torch.from_numpy(values) for name, values in net.start(seeding.start(again)).items()}
        module.load_state_dict(start, strict=False)
        optimizer = torch.optim.SGD(module.parameters(), lr=rules.learning_rate, momentum=rules.momentum)
        with rung.on(module, optimizer):
            for epoch in rung.epochs(rules.epochs):
                passed = sum(rung.rate_epoch(epoch) >= milestone for milestone in rules.milestones)
                for group in optimizer.param_groups:
                    group["lr"] = rules.learning_rate * rules.factor**passed
                order = torch.from_numpy(seeding.order(rung.number, epoch, len(x)))
                for places in torch.split(order, rules.batch):
                    optimizer.zero_grad()
                    F.cross_entropy(module(x[places]), labels[places]).backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
            module.eval()
            with torch.no_grad():
                (train_loss, train_right), (test_loss, test_right) = (
                    _outcomes(module(inputs), targets) for inputs, targets in ((x, labels), (test, answers))
                )
            rung.record(
                test_error=1 - test_right.mean(),
                test_loss=test_loss.mean(),
                train_error=1 - train_right.mean(),
                train_loss=train_loss.mean(),
                examples=(subsample.train, train_loss, train_right),
            )


def _outcomes(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return F.cross_entropy(logits, labels, reduction="none"), (logits.argmax(1) == labels).double()


INPUTS, CLASSES = 6, 3
WEIGHTS = INPUTS * 12 + 12 * 8 + 8 * CLASSES  # of the small network below


def blobs(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return points around one centre for each class."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (count,), generator=rng)
    return torch.randn(count, INPUTS, generator=rng) + 1.5 * F.one_hot(labels, INPUTS), labels


def make(seed: int) -> nn.Module:
    """Return a small network."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(INPUTS, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, CLASSES)
    )


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    """Return an optimizer with momentum and decay."""
    return torch.optim.AdamW(model.parameters(), 0.02, weight_decay=0.1)


def train_epoch(model: nn.Module, optimizer: torch.optim.Optimizer, epoch: int) -> None:
    """Train an epoch on sixty points, in an order that follows from its number."""
    x, labels = blobs(60, 0)
    model.train()
    for places in torch.split(torch.randperm(60, generator=torch.Generator().manual_seed(epoch)), 20):
        optimizer.zero_grad()
        F.cross_entropy(model(x[places]), labels[places]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def error_of(model: nn.Module) -> float:
    """Return the share of forty other points that a model gets wrong."""
    x, labels = blobs(40, 1)
    model.eval()
    with torch.no_grad():
        return float((model(x).argmax(1) != labels).double().mean())


def climb(
    recorder: Recorder,
    epochs: int = 3,
    within: Callable[[Rung, nn.Module, torch.optim.Optimizer, int], None] | None = None,
    made: Callable[[int], nn.Module] = make,
) -> None:
    """Climb a ladder with a small network; ``within`` is called before each epoch."""
    for rung in recorder:
        model = made(rung.seed)
        optimizer = adamw(model)
        with rung.on(model, optimizer):
            for epoch in rung.epochs(epochs):
                if within is not None:
                    within(rung, model, optimizer, epoch)
                train_epoch(model, optimizer, epoch)
            rung.record(test_error=error_of(model))


def recorder(folder: Path, **settings: Any) -> Recorder:
    return Recorder(folder / "store", **{"levels": 3, "rewind_epoch": 1, "examples": 60} | settings)


def first(rec: Recorder) -> Rung:
    return next(iter(rec))


def place(refused: pytest.ExceptionInfo[InputError]) -> str:
    (fault,) = refused.value.faults
    return fault.place


def asking(weights: dict[str, np.ndarray], probe: object) -> dict[str, np.ndarray]:
    """Rank weights by asking the network."""
    del probe
    return weights


def bits(rec: Recorder) -> list[bytes]:
    """Return the masks and rows of a ladder, apart from the clock."""
    rows = sorted(read_table(rec.store).rows(), key=lambda row: row["rung"])
    told = [{name: row[name] for name in ("rung", "kept", "test_error", "epochs", "parameters")} for row in rows]
    masks = [mask.tobytes() for row in rows for mask in rec.masks(row["rung"], make(0)).values()]
    return [json.dumps(told).encode(), *masks]


def opened(folder: Path, model: nn.Module, *optimizers: Any, **settings: Any) -> None:
    with first(recorder(folder, **settings)).on(model, *optimizers):
        raise AssertionError("must be refused before")
