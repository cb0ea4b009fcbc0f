"""Processes that train each network together give what one process gives, to rounding, whatever their number."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch

from prunescope.data import load
from prunescope.nets.cohort import Layout
from prunescope.run import run_study
from prunescope.run.data_parallel import DataParallel
from prunescope.run.events import CohortProgress, Event
from prunescope.run.ladder_runner import RunSettings
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.study import Ladder, Study
from prunescope.table import Store
from prunescope.table.schema import CIRCUMSTANCES, STORED_NAMES
from tests.run.studies import mixed_study
from tests.train.cohorts import OUTCOMES, VALIDATED, climbed, ladder, same

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


def study(**changes: Any) -> Study:
    whole = mixed_study(levels=1, **changes)
    axes = whole.axes[0].model_copy(update={"label_noise": (0.0,)})
    return replace(whole, axes=(axes,), treatments=whole.treatments[:1], replicates=1)


def hold_rows(store: Store, other: Store) -> None:
    """Hold the rows of two stores against each other: sizes and masks exactly, outcomes to rounding."""
    ours, theirs = (sorted(kept.table().rows(), key=lambda row: row["rung"]) for kept in (store, other))
    assert len(ours) == len(theirs) > 0
    for one, another in zip(ours, theirs, strict=True):
        for name in STORED_NAMES:
            if name in CIRCUMSTANCES:
                continue
            if name in (*OUTCOMES, *VALIDATED) and one[name] is not None:
                # An example at a boundary may fall on either side.
                assert one[name] == pytest.approx(another[name], abs=1e-5 if "loss" in name else 0.005), name
            else:
                assert one[name] == another[name], name


def test_a_killed_process_ends_the_run_in_a_sentence_and_any_number_of_them_goes_on_from_the_step_that_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: Callable[[], list[int]]
) -> None:
    monkeypatch.setattr(TuningCache, "of_machine", lambda self, key: CohortSettings(8, 1, 8, 1, 1e-3))
    monkeypatch.setattr("prunescope.run.progress_reporter.REPORT_INTERVAL", 0.0)
    whole, store = (Store(tmp_path / name, create=True) for name in ("whole", "store"))
    assert run_study(study(), whole, workers=1).failures == []
    steps: list[int] = []

    def on_event(event: Event) -> None:
        if isinstance(event, CohortProgress):
            steps.append(event.done)
            if len(steps) == 4 and not killed:
                killed.extend(started())
                os.kill(killed[0], signal.SIGKILL)

    killed: list[int] = []
    report = run_study(study(), store, device="cpu", data_parallel=2, checkpoint_every=0.0, on_event=on_event)
    assert "was killed by SIGKILL" in report.lost
    assert report.is_incomplete
    assert report.failures == []
    assert not started()
    assert len(list((store.path / "progress").iterdir())) == 1
    steps.clear()
    again = run_study(study(), store, device="cpu", data_parallel=3, on_event=on_event)
    assert (again.lost, again.failures, again.is_incomplete) == ("", [], False)
    assert steps[0] == 5
    hold_rows(store, whole)
