"""A rung whose weights were not kept is trained again, in a store that is gone afterwards (`run.retrain`)."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prunescope.errors import PrunescopeError
from prunescope.export.pick import PickedRung
from prunescope.prune import Masks
from prunescope.run.artifacts import read_masks, read_weights
from prunescope.run.cohorts import Cohort, key_of
from prunescope.run.estimate import cores
from prunescope.run.events import EventHandler, RunStarted
from prunescope.run.ladder_runner import LadderRunner, RunSettings, network_of, work_left
from prunescope.run.retrain import Restart, prepare, restart_of
from prunescope.run.tune import choose, threads
from prunescope.study.effort import epochs_of
from prunescope.table import Store
from prunescope.train import TrainingContext


@dataclass(frozen=True)
class RetrainPlan:
    """What is trained again.

    Attributes
    ----------
    first, rung
        From which to which rung.
    seconds
        About how long it will take, by a short measurement.
    threads
        With which it is fastest.
    """

    restart: Restart
    first: int
    rung: int
    seconds: float
    threads: int


def planned(store: Store, picked: PickedRung, bench: TrainingContext) -> RetrainPlan:
    """Find what has to be trained for a rung, and about how long that takes."""
    restart = restart_of(store, picked.ladder, picked.rows, picked.rung, bench.network)
    ladder = restart.ladder
    epochs = sum(epochs_of(ladder, rung) for rung in range(restart.first, picked.rung + 1))
    steps = epochs * -(-ladder.cell.examples // ladder.recipe.batch)
    choice = choose(bench, 1, cores(), steps)
    return RetrainPlan(restart, restart.first, picked.rung, steps * choice.seconds, choice.threads)


@dataclass(frozen=True, eq=False)
class Retrained:
    """A rung after it was trained again: its row, its tensors with pruned weights zero, its masks."""

    row: Mapping[str, Any]
    tensors: dict[str, np.ndarray]
    masks: Masks


def retrain(
    plan: RetrainPlan, picked: PickedRung, bench: TrainingContext, device: str, on_event: EventHandler
) -> Retrained:
    """Train what is planned."""
    ladder, rung, network = plan.restart.ladder, picked.rung, bench.network
    with tempfile.TemporaryDirectory(prefix="prunescope-") as folder:
        store = Store(Path(folder) / "store", create=True)
        prepare(picked.store, store, plan.restart, network)
        left = work_left(ladder, store.done())
        on_event(RunStarted(1, left, left))
        setting = RunSettings(picked.study, device, keep=(rung,))
        with threads(plan.threads):
            LadderRunner(Cohort(key_of(ladder), (ladder,), 1), bench, store, setting, on_event).run()
        for failure in store.failures():
            raise PrunescopeError(f"rung {failure.rung} could not be trained again: {failure.words}")
        (row,) = store.table(f"rung = {rung}").rows()
        there = network_of(ladder, rung, bench.dataset)
        masks = read_masks(store, ladder, rung, there)
        return Retrained(row, read_weights(store, ladder, rung, there), masks)
