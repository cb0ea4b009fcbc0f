"""Does the tasks of a run in one process, a worker or the run's own: tunes shapes, trains cohorts, scores examples.

An ensemble scores the training examples of a cell and replicate by EL2N. A store has all of its scores or none, and
every study that asks for the same uses them:

    examples/<identity of the ensemble>/0    index, el2n    training examples by their places in the set, their scores
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from prunescope.data import Dataset, load, read_own_of
from prunescope.errors import PrunescopeError
from prunescope.nets.cohort import Layout
from prunescope.run.cohorts import Cohort, Key, key_of
from prunescope.run.data_parallel import DataParallel, RungWork, train_networks
from prunescope.run.events import (
    CohortFinished,
    CohortProgress,
    EventHandler,
    ExamplesScored,
    LaddersElsewhere,
    TuningStarted,
)
from prunescope.run.kept_progress import StoredProgress, progress_names
from prunescope.run.ladder_runner import LadderRunner, RunSettings, context_for
from prunescope.run.ladder_state import subsample_of
from prunescope.run.progress_reporter import ProgressReporter
from prunescope.run.tune import choose, threads
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.study import Ensemble, Ladder
from prunescope.table import Store
from prunescope.table.status import is_scored
from prunescope.train import (
    CohortMember,
    RungStoppedError,
    Span,
    TrainingContext,
    label_distances,
    seeding_of_scorer,
)

_MMAP_MAX, _TRIM_THRESHOLD = -4, -1  # parameters of glibc's mallopt


@dataclass(frozen=True)
class TuneTask:
    """Find the settings that train ladders of one shape fastest.

    Attributes
    ----------
    ladders
        How many there are.
    steps
        That all of them have left to take.
    """

    key: Key
    ladder: Ladder
    ladders: int
    steps: float

    @property
    def name(self) -> str:
        """The name of this task, the same for every try."""
        return self.key

    @property
    def words(self) -> str:
        """What is measured, for people."""
        cell = self.ladder.cell
        return f"{cell.family} l={cell.depth} w={cell.width:g}"


@dataclass(frozen=True)
class TrainTask:
    """Train what is missing of a cohort.

    Attributes
    ----------
    elsewhere
        Ladders that this run has left to others, so that those that learn from them are left, too.
    """

    cohort: Cohort
    tuning: CohortSettings
    elsewhere: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The name of this task, the same for every try."""
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
        """The name of this task, the same for every try."""
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
    stop
        Whether to begin no other rung.
    parallel
        The processes that train each network together; None: this one does alone.
    """

    def __init__(
        self,
        store: Store,
        data_folder: Path | None,
        settings: RunSettings,
        cores: int,
        datasets: Mapping[str, Dataset] | None = None,
        stop: Callable[[], bool] = lambda: False,
        parallel: DataParallel | None = None,
    ) -> None:
        self._stop = stop
        self._parallel = parallel
        self._store = store
        self._data_folder = data_folder
        self._settings = settings
        self._cores = cores
        self._tuning_cache = TuningCache(store, settings.trained_on, cores)
        self._datasets = dict(datasets or {})
        self._bench: TrainingContext | None = None

    def dataset(self, ladder: Ladder) -> Dataset:
        """Return the dataset of a ladder, read once."""
        name = ladder.cell.dataset
        if name not in self._datasets:
            self._datasets[name] = dataset_of(ladder, self._data_folder, self._settings.home)
        return self._datasets[name]

    def context(self, ladder: Ladder, tuning: CohortSettings | None = None) -> TrainingContext:
        """Return what a ladder is trained on; pictures stay on the device while shapes share them."""
        layout = Layout() if tuning is None else Layout(tuning.together, tuning.pack, tuning.planar)
        sparse_below = 0.0 if tuning is None else tuning.sparse_below
        training_context = context_for(ladder, self.dataset(ladder), layout, self._settings, sparse_below)
        if self._bench is not None:
            training_context.share_pictures(self._bench)
        self._bench = training_context
        return training_context

    def tune(self, task: TuneTask, on_event: EventHandler) -> CohortSettings:
        """Return how a shape is trained fastest, remembered or measured."""
        tuning = self._tuning_cache.of_store(task.key) or self._tuning_cache.of_machine(task.key)
        if tuning is None:
            on_event(TuningStarted(task.words))
            try:
                alone = self._parallel is None
                tuning = choose(self.context(task.ladder), task.ladders, self._cores, task.steps, alone)
            except PrunescopeError:  # what is wrong with these ladders is reported when they are trained
                return CohortSettings(1, 1, 1, 1, 0.0)
            self._tuning_cache.keep_on_machine(task.key, tuning)
        return tuning

    def train(self, task: TrainTask, on_event: EventHandler) -> None:
        """Train a cohort."""
        context = self.context(task.cohort.ladders[0], task.tuning)
        self._begin()
        with threads(min(task.tuning.threads, self._cores)):
            how = self._stop, task.elsewhere, self._parallel
            LadderRunner(task.cohort, context, self._store, self._settings, on_event, *how).run()

    def score(self, task: ScoreTask, on_event: EventHandler) -> None:
        """Score examples by an ensemble."""
        ladder = task.ensemble.ladder
        tuning = self.tune(TuneTask(key_of(ladder), ladder, task.ensemble.networks, task.ensemble.steps), on_event)
        context = self.context(ladder, tuning)
        self._begin()
        with threads(min(tuning.threads, self._cores)):
            keepers = self._keepers(task.ensemble, tuning.members)
            scores = _scores(task.ensemble, task.number, keepers, context, on_event, self._stop, self._parallel)
            _score_examples(task.ensemble, task.number, scores, context, self._store, on_event)
            if is_scored(self._store, task.ensemble):
                for keeper in keepers.values():
                    keeper.discard()

    def _begin(self) -> None:
        """Start the processes that train with this one: what that takes belongs to no rung."""
        if self._parallel is not None:
            self._parallel.begin()

    def _keepers(self, ensemble: Ensemble, at_once: int) -> dict[range, StoredProgress]:
        """Return what keeps the networks of an ensemble, those that are trained together by their places in it."""
        every, stop = self._settings.checkpoint_every, self._stop

        def keeper(places: range) -> StoredProgress:
            names, facts = progress_names(ensemble.identity, places), f"{ensemble.epoch} {self._settings.dtype}"
            return StoredProgress(self._store.path, names, 0, every, facts, stop=stop, at_end=True)

        firsts = range(0, ensemble.networks, at_once)
        groups = [range(first, min(first + at_once, ensemble.networks)) for first in firsts]
        return {places: keeper(places) for places in groups}


def dataset_of(ladder: Ladder, folder: Path | None, home: Path | None) -> Dataset:
    """Read the dataset of a ladder: a known one by its name, a user's own again, which must be the very one."""
    if ladder.own is None:
        return load(ladder.cell.dataset, folder)
    return read_own_of(ladder, home, folder).dataset


def device_named(name: str) -> str:
    """Return a device that is there: ``auto`` takes a GPU where torch finds one."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        words = str(error).strip().split("\n")[0]
        raise PrunescopeError(f"device {name!r} cannot be used: {words}") from None
    return name


def hold_memory() -> bool:
    """Keep freed memory for the life of this process; return whether the system's C library can.

    glibc gives large free blocks back to the system, and a moment later asks for them again, zeroed page by page. Steps
    of convolutional networks free and take the same blocks over and over.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1))


def _score_examples(
    ensemble: Ensemble,
    number: int,
    scores: Iterator[np.ndarray],
    context: TrainingContext,
    store: Store,
    on_event: EventHandler,
) -> None:
    """Put the scores of an ensemble into a store, unless they are there or another process is computing them.

    Parameters
    ----------
    number
        Of the task, among a run's cohorts.
    scores
        Those by some networks at a time, computed as they are asked for.
    """
    with store.claim_all([ensemble.identity]) as claim:
        if not is_scored(store, ensemble):
            clock = time.perf_counter()
            by_network = list(scores) if claim else []
            if sum(map(len, by_network)) == ensemble.networks and claim.held():
                index = subsample_of(ensemble.ladder, context.dataset).train
                mean = np.concatenate(by_network).mean(0).astype(np.float32)
                store.write_arrays("examples", ensemble.identity, 0, {"index": index, "el2n": mean})
                took = time.perf_counter() - clock
                on_event(ExamplesScored(number, ensemble.words, ensemble.networks, ensemble.work, took))
            elif not claim or not claim.held():
                on_event(LaddersElsewhere(1, ensemble.work, (ensemble.identity,)))
    on_event(CohortFinished(number))


def _scores(
    ensemble: Ensemble,
    number: int,
    keepers: Mapping[range, StoredProgress],
    context: TrainingContext,
    on_event: EventHandler,
    stop: Callable[[], bool],
    parallel: DataParallel | None,
) -> Iterator[np.ndarray]:
    """Yield the distances ``[R, n]`` of some networks at a time, in their order, until all are there or a stop.

    Parameters
    ----------
    keepers
        What keeps its networks, by the places of those that are trained together.
    """
    subsample = subsample_of(ensemble.ladder, context.dataset)
    span = Span(0, ensemble.epoch)
    for places, keeper in keepers.items():
        if stop():
            return
        members = [CohortMember(subsample, seeding_of_scorer(ensemble, place)) for place in places]
        norms = ensemble.ladder.recipe.norm_start
        start = context.stacked([context.network.start(member.seeding.start(), norms) for member in members])
        work = ensemble.work // ensemble.networks
        progress = CohortProgress(number, ensemble.words, len(members), work, 0, 1, span.first, span.last, 0, 1)
        reporter = ProgressReporter(progress, on_event, context.waited)
        try:
            rung = RungWork(ensemble.ladder, 0, 0, context.layout, members, span)
            trained = train_networks(parallel, context, rung, (start, {}), reporter, keeper)
        except RungStoppedError:
            return
        if not all(outcome.finite for outcome in trained.outcomes):
            raise PrunescopeError("diverged: a loss is infinite or no number; a lower learning rate may help")
        yield label_distances(context, subsample, trained.state)
