"""Small data, recipes, benches and ladders, and a cohort's climb as arrays to compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from prunescope.data import Dataset
from prunescope.data.dataset import moments
from prunescope.nets import network
from prunescope.nets.cohort import Layout
from prunescope.prune import Masks, RungHandover, full
from prunescope.prune.checkpoints import inherited
from prunescope.run.artifacts import layers_of, read_weights
from prunescope.run.cohorts import Cohort, key_of
from prunescope.run.data_parallel import DataParallel
from prunescope.run.events import Event
from prunescope.run.ladder_runner import LadderRunner, RunSettings, context_for, network_of
from prunescope.study import Ladder
from prunescope.study.sections import Recipe, Treatment, completed
from prunescope.study.study import Cell
from prunescope.table import Store
from prunescope.train import TrainingContext

SHAPE = (3, 8, 8)
OUTCOMES = ("test_error", "test_loss", "train_error", "train_loss", "train_loss_original", "train_loss_noisy")
VALIDATED = ("validation_error", "validation_loss")
ELSEWHERE = ("seconds", "started", "unpruned_error")  # the clock, and what the whole table decides


def pictures(shape: tuple[int, int, int] = SHAPE, train: int = 90, test: int = 23, classes: int = 4) -> Dataset:
    """Return random pictures, each class a little brighter than the one before."""
    rng = np.random.default_rng(train)

    def part(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(0, classes, count)
        bright = labels[:, None, None, None] * 20
        return (rng.integers(0, 150, (count, *shape)) + bright).astype(np.uint8), labels.astype(np.int64)

    (images, labels), (tests, answers) = part(train), part(test)
    return Dataset("digits", images, labels, tests, answers, classes, *moments(images))


def recipe(**changes: Any) -> Recipe:
    """Return a short recipe."""
    settings: dict[str, Any] = {"epochs": 2, "batch": 16, "learning_rate": 0.1, "levels": 2}
    return Recipe(**settings | changes)


def ladder(
    family: str = "lenet",
    depth: int = 3,
    width: float = 0.05,
    *,
    replicate: int = 0,
    label_noise: float = 0.0,
    examples: int = 60,
    treatment: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Ladder:
    """Return a ladder; further words change its recipe."""
    cell = Cell(family, "digits", depth, width, examples, label_noise)
    done = completed(Treatment(**{"kind": "imp"} | dict(treatment or {})))
    return Ladder(cell, recipe(**changes), done, replicate, seed=5)


@dataclass(frozen=True)
class Climbed:
    """One rung of a ladder, as its store has it."""

    row: dict[str, Any]
    state: dict[str, np.ndarray]
    left: RungHandover


def climbed(
    ladders: Sequence[Ladder],
    dataset: Dataset,
    folder: Path,
    layout: Layout = Layout(),  # noqa: B008 - frozen
    dtype: torch.dtype = torch.float64,
    compact: bool | None = None,
    alone: bool = False,
    sparse_below: float = 0.0,
    parallel: DataParallel | None = None,
) -> dict[str, list[Climbed]]:
    """Climb ladders as one cohort, or each alone, and return each one's rungs, by identity."""
    assert len({key_of(ladder) for ladder in ladders}) == 1
    store = Store(folder, create=True)
    settings = RunSettings("tests", dtype=dtype, keep="all")
    context = replace(context_for(ladders[0], dataset, layout, settings, sparse_below), compact=compact)
    for cohort in [(ladder,) for ladder in ladders] if alone else [tuple(ladders)]:
        with patch("prunescope.run.ladder_runner.WRITE_INTERVAL", -1.0):  # each rung gets a file of its own
            LadderRunner(Cohort("key", cohort), context, store, settings, ignore, parallel=parallel).run()
    done = store.done()
    rows = {(row["ladder"], row["rung"]): row for row in store.table().rows()} if done else {}
    by_ladder: dict[str, list[Climbed]] = {ladder.identity: [] for ladder in ladders}
    for ladder in ladders:
        for rung in range(ladder.rungs):
            if (ladder.identity, rung) in rows:
                net = network_of(ladder, rung, dataset)
                state = read_weights(store, ladder, rung, net)
                left = inherited(store, ladder.identity, rung, layers_of(ladder, net))
                by_ladder[ladder.identity].append(Climbed(rows[ladder.identity, rung], state, left))
    return by_ladder


def ignore(event: Event) -> None:
    """Listen to nothing."""


def same(one: Sequence[Climbed], other: Sequence[Climbed], exact: bool = False) -> None:
    """Hold two climbs of one ladder against each other: numbers to rounding, masks and counts exactly."""
    assert len(one) == len(other)
    rtol, atol = (0.0, 0.0) if exact else (1e-7, 1e-9)
    for rung, (ours, theirs) in enumerate(zip(one, other, strict=True)):
        for key in ours.row:
            if key not in (*ELSEWHERE, *OUTCOMES, *VALIDATED):
                assert ours.row[key] == theirs.row[key], (rung, key)
        for key in (*OUTCOMES, *VALIDATED):
            assert (ours.row[key] is None) == (theirs.row[key] is None)
            if ours.row[key] is not None:
                np.testing.assert_allclose(ours.row[key], theirs.row[key], rtol, atol, err_msg=f"{rung} {key}")
        assert np.array_equal(ours.left.masks.flat, theirs.left.masks.flat), rung
        assert set(ours.state) == set(theirs.state)
        for name, values in ours.state.items():
            np.testing.assert_allclose(values, theirs.state[name], rtol, atol, err_msg=f"{rung} {name}")


def training_context(
    family: str = "lenet", depth: int = 3, width: float = 0.05, dataset: Dataset | None = None, **changes: Any
) -> TrainingContext:
    """Return a bench in double precision; further words change its recipe."""
    data = dataset or pictures()
    net = network(family, depth, width, data.classes, data.shape)
    return TrainingContext(net, recipe(**changes), data, dtype=torch.float64)


def random_masks(context: TrainingContext, members: int, density: float, seed: int = 0) -> list[Masks]:
    """Return masks with exactly a share of the prunable weights, anywhere."""
    whole = full(context.network.outline.prunable(context.recipe.prunable))
    masks = []
    for member in range(members):
        ranks = np.random.default_rng((seed, member)).permutation(whole.prunable)
        masks.append(Masks(whole.layers, ranks < max(1, round(density * whole.prunable))))
    return masks


def starts(
    context: TrainingContext, masks: Sequence[Masks], seed: int = 0
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return stacked tensors, biases included that are not zero, and stacked masks; what is pruned is zero."""
    rng = np.random.default_rng(seed)
    tensors = context.stacked([context.network.start(rng) for _ in masks])
    stacked = context.masks(masks)
    return {name: values * stacked[name] if name in stacked else values for name, values in tensors.items()}, stacked
