"""What one process of a run does: measure shapes, climb cohorts. The same in a worker process and in the run's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from prunescope.data import Dataset, load
from prunescope.errors import PrunescopeError
from prunescope.nets.cohort import Layout
from prunescope.run.climb import RunSettings, bench_for, climb
from prunescope.run.cohorts import Cohort, Key, key_of
from prunescope.run.events import Tell, TuningStarted
from prunescope.run.scorer import score_examples
from prunescope.run.tune import choose, threads
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.study import Ensemble, Ladder
from prunescope.table import Store
from prunescope.train import TrainingContext


@dataclass(frozen=True)
class TuneTask:
    """Find out how ladders of one shape are trained fastest."""

    key: Key
    ladder: Ladder
    ladders: int

    @property
    def name(self) -> str:
        """What stands for this task, however often it is tried."""
        return self.key

    @property
    def words(self) -> str:
        """What is measured, for people."""
        cell = self.ladder.cell
        return f"{cell.family} l={cell.depth} w={cell.width:g}"


@dataclass(frozen=True)
class TrainTask:
    """Train what is missing of a cohort."""

    cohort: Cohort
    choice: CohortSettings

    @property
    def name(self) -> str:
        """What stands for this task, however often it is tried."""
        return "".join(ladder.identity for ladder in self.cohort.ladders)


@dataclass(frozen=True)
class ScoreTask:
    """Score the training examples of a cell and replicate.

    Attributes
    ----------
    number
        Place among the cohorts of the run.
    """

    ensemble: Ensemble
    number: int

    @property
    def name(self) -> str:
        """What stands for this task, however often it is tried."""
        return self.ensemble.identity


Task = TuneTask | TrainTask | ScoreTask


class TaskRunner:
    """Does the tasks of a run, one after another.

    Parameters
    ----------
    cores
        How many it may keep busy.
    datasets
        Those that are in memory already.
    """

    def __init__(
        self,
        store: Store,
        data: Path | None,
        settings: RunSettings,
        cores: int,
        datasets: Mapping[str, Dataset] | None = None,
    ) -> None:
        self._store = store
        self._data = data
        self._settings = settings
        self._cores = cores
        self._remembered = TuningCache(store, settings.device, cores)
        self._datasets = dict(datasets or {})
        self._bench: TrainingContext | None = None

    def dataset(self, name: str) -> Dataset:
        """Return a dataset, read once."""
        if name not in self._datasets:
            self._datasets[name] = load(name, self._data)
        return self._datasets[name]

    def context(self, ladder: Ladder, layout: Layout = Layout()) -> TrainingContext:  # noqa: B008 - frozen
        """Return what a ladder is trained on; pictures stay on the device while shapes share them."""
        made = bench_for(ladder, self.dataset(ladder.cell.dataset), layout, self._settings)
        if self._bench is not None:
            made.share_pictures(self._bench)
        self._bench = made
        return made

    def measure(self, task: TuneTask, tell: Tell) -> CohortSettings:
        """Return how a shape is trained fastest, remembered or measured."""
        known = self._remembered.settled(task.key) or self._remembered.found(task.key)
        if known is None:
            tell(TuningStarted(task.words))
            try:
                known = choose(self.context(task.ladder), task.ladders, self._cores)
            except PrunescopeError:  # whatever is wrong with these ladders is told when they are trained
                return CohortSettings(1, 1, 1, 1, 0.0)
            self._remembered.find(task.key, known)
        return known

    def go(self, task: TrainTask, tell: Tell) -> None:
        """Train a cohort."""
        context = self.context(
            task.cohort.ladders[0], Layout(task.choice.together, task.choice.pack, task.choice.planar)
        )
        with threads(min(task.choice.threads, self._cores)):
            climb(task.cohort, context, self._store, self._settings, tell)

    def rate(self, task: ScoreTask, tell: Tell) -> None:
        """Score examples by an ensemble."""
        ladder = task.ensemble.ladder
        choice = self.measure(TuneTask(key_of(ladder), ladder, task.ensemble.networks), tell)
        context = self.context(ladder, Layout(choice.together, choice.pack, choice.planar))
        with threads(min(choice.threads, self._cores)):
            score_examples(task.ensemble, task.number, choice.members, context, self._store, tell)


def device_named(name: str) -> str:
    """Return a device that is there: ``auto`` takes a GPU where torch finds one."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as trouble:
        words = str(trouble).strip().split("\n")[0]
        raise PrunescopeError(f"device {name!r} cannot be used: {words}") from None
    return name
