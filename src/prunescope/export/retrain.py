"""A rung whose weights were not kept is trained again, in a store of its own that is gone afterwards.

It starts from the sparsest rung whose successor can be begun from what the store kept: mostly from the rung itself,
whose mask and rewind point are there. Nothing in the user's store is touched.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from prunescope.errors import InputError, PrunescopeError
from prunescope.export.pick import PickedRung
from prunescope.nets import Network
from prunescope.prune import Masks, RungHandover, full
from prunescope.prune.checkpoints import inherited, started
from prunescope.run.artifacts import layers_of, read_masks, read_weights
from prunescope.run.cohorts import Cohort, key_of
from prunescope.run.estimate import cores
from prunescope.run.events import EventHandler, RunStarted
from prunescope.run.ladder_runner import LadderRunner, RunSettings, work_left
from prunescope.run.tune import choose, threads
from prunescope.study import Ladder
from prunescope.study.effort import epochs_of
from prunescope.table import Store
from prunescope.train import TrainingContext

FROM_MASK = ("weights", "reinitialise")
"""Rewindings of imp after which a rung begins from its mask and what the first rung left."""


@dataclass(frozen=True)
class RetrainPlan:
    """What is trained again.

    Attributes
    ----------
    first, rung
        From which to which rung.
    before
        What the rung below left; None for rung 0.
    seconds
        About how long it will take, by a short measurement.
    threads
        With which it is fastest.
    """

    ladder: Ladder
    first: int
    rung: int
    before: RungHandover | None
    seconds: float
    threads: int


def planned(store: Store, picked: PickedRung, bench: TrainingContext) -> RetrainPlan:
    """Find what has to be trained for a rung, and about how long that takes."""
    recipe = picked.ladder.recipe.model_copy(update={"levels": picked.rung})
    ladder = replace(picked.ladder, recipe=recipe)
    first, before = picked.rung, None
    while first and before is None:
        if all(rung in picked.rows for rung in range(first)):
            before = _before(store, picked.ladder, first, bench.network)
        first -= before is None
    epochs = sum(epochs_of(ladder, rung) for rung in range(first, picked.rung + 1))
    steps = epochs * -(-ladder.cell.examples // recipe.batch)
    choice = choose(bench, 1, cores(), steps)
    return RetrainPlan(ladder, first, picked.rung, before, steps * choice.seconds, choice.threads)


def _before(store: Store, ladder: Ladder, rung: int, network: Network) -> RungHandover | None:
    """Return what the rung below left to a rung, None where the store has not enough of it."""
    try:
        return inherited(store, ladder.identity, rung - 1, layers_of(ladder, network))
    except InputError:
        pass
    kind, rewind = ladder.treatment.kind, ladder.treatment.rewind
    if kind != "one-shot" and (kind != "imp" or rewind not in FROM_MASK):
        return None
    try:
        return started(store, ladder.identity, rung, layers_of(ladder, network))
    except InputError:
        return None


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
    ladder, rung, network = plan.ladder, picked.rung, bench.network
    with tempfile.TemporaryDirectory(prefix="prunescope-") as folder:
        store = Store(Path(folder) / "store", create=True)
        if plan.before is not None:
            layers = network.outline.prunable(ladder.recipe.prunable)
            arrays = {"mask/0": full(layers).packed(), **plan.before.to_arrays()}
            store.write_arrays("checkpoints", ladder.identity, plan.first - 1, arrays)
            store.write(picked.rows[index] for index in range(plan.first))
        left = work_left(ladder, store.done())
        on_event(RunStarted(1, left, left))
        setting = RunSettings(picked.study, device, keep=(rung,))
        with threads(plan.threads):
            LadderRunner(Cohort(key_of(ladder), (ladder,), 1), bench, store, setting, on_event).run()
        for failure in store.failures():
            raise PrunescopeError(f"rung {failure.rung} could not be trained again: {failure.words}")
        (row,) = store.table(f"rung = {rung}").rows()
        masks = read_masks(store, ladder, rung, network)
        return Retrained(row, read_weights(store, ladder, rung, network), masks)
