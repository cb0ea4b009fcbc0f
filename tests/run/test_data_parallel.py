"""Processes that train each network together give what one process gives, to rounding, whatever their number."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch

from prunescope.data import load
from prunescope.nets.cohort import Layout
from prunescope.run.data_parallel import DataParallel
from prunescope.run.ladder_runner import RunSettings
from prunescope.study import Ladder
from tests.train.cohorts import climbed, ladder, same

TIMEOUT = timedelta(seconds=60)
MOVED: dict[str, Any] = {"augment": "flip-crop", "momentum": 0.9, "weight_decay": 1e-3, "rewind_epoch": 1, "levels": 1}
COHORTS: dict[str, tuple[Layout, list[Ladder]]] = {
    # 59 examples: the last batch of each epoch has fewer examples than there are processes, or just as many.
    "resnets": (
        Layout(2, 2),
        [ladder("cifar-resnet", 8, 1 / 16, replicate=number, examples=33 + 1, **MOVED) for number in range(2)],
    ),
    "own": (
        Layout(2),
        [ladder("tests.nets.modules:with_dropout", 2, 0.5, examples=41, accumulate=2, clip_norm=1.0, levels=1)],
    ),
    "vmapped": (
        Layout(2),
        [ladder("tests.nets.modules:own", 2, 0.5, replicate=number, examples=41, levels=1) for number in range(2)],
    ),
    "lenets": (
        Layout(),
        [ladder("lenet", 3, 0.05, replicate=number, examples=50, optimizer="adamw", levels=1) for number in range(2)],
    ),
}


@pytest.fixture(scope="module", params=[2, 3])
def together(request: pytest.FixtureRequest) -> Iterator[DataParallel]:
    """Processes that the tests of a number of them share."""
    settings = RunSettings("tests", dtype=torch.float64, processes=request.param)
    parallel = DataParallel(["cpu"] * request.param, None, settings, TIMEOUT)
    yield parallel
    parallel.close()


@pytest.mark.parametrize("kind", COHORTS)
def test_several_processes_train_as_one(kind: str, together: DataParallel, tmp_path: Path) -> None:
    layout, ladders = COHORTS[kind]
    alone = climbed(ladders, load("digits"), tmp_path / "alone", layout)
    shared = climbed(ladders, load("digits"), tmp_path / "shared", layout, parallel=together)
    for trained in ladders:
        assert len(alone[trained.identity]) == trained.rungs
        same(shared[trained.identity], alone[trained.identity])
