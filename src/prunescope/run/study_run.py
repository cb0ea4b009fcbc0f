"""Trains a study: cohorts go to an executor, results to the store, until everything is done or has failed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from prunescope.data import OwnData, read_datasets
from prunescope.errors import Fault, InputError, UnwritableError
from prunescope.run.artifacts import missing_artifacts
from prunescope.run.cohorts import Key
from prunescope.run.data_parallel import DataParallel
from prunescope.run.dataset_changes import changed_datasets
from prunescope.run.estimate import cores, described
from prunescope.run.events import (
    CohortFinished,
    DatasetChanged,
    Event,
    EventHandler,
    ExamplesScored,
    LadderFailed,
    LaddersElsewhere,
    LaddersFreed,
    Lost,
    NotExclusive,
    RungFinished,
    RunStarted,
    TaskBegunAgain,
    TuningFailed,
    Unsound,
    Written,
)
from prunescope.run.executor_choice import executor_here, executor_on
from prunescope.run.executors import Executor, ShapeTuned, TaskDone, TaskFailed, TaskUnfinished
from prunescope.run.ladder_runner import CHECKPOINT_EVERY, RunSettings, work_left
from prunescope.run.preparation import checked_datasets
from prunescope.run.rank_process import RankTrainer
from prunescope.run.run_report import RunReport
from prunescope.run.sharing import Elsewhere
from prunescope.run.stopping import Stop
from prunescope.run.task_runner import ScoreTask, TaskRunner, TrainTask, TuneTask, device_named
from prunescope.run.task_schedule import TaskSchedule
from prunescope.run.torchrun import devices_of, torchrun_place
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.study import Ensemble, Ladder, Study, ensembles
from prunescope.study.effort import first_missing
from prunescope.table import EXPIRY, Store
from prunescope.table.notes import keep_dataset
from prunescope.table.status import is_scored
from prunescope.train.ranks import RankLostError

if TYPE_CHECKING:
    from prunescope.run.cluster import Cluster


def run_study(
    study: Study,
    store: str | os.PathLike[str] | Store,
    *,
    data: str | os.PathLike[str] | None = None,
    device: str = "auto",
    workers: int | None = None,
    copies: int = 1,
    fail_fast: bool = False,
    keep_weights: bool = False,
    keep_examples: bool = False,
    keep_test_examples: bool = False,
    ladders: Sequence[Ladder] | None = None,
    datasets: Mapping[str, OwnData] | None = None,
    stop: Stop | None = None,
    takeover_after: float | None = None,
    cluster: Cluster | None = None,
    after_cohort: Callable[[], None] | None = None,
    checkpoint_every: float = CHECKPOINT_EVERY,
    data_parallel: int = 1,
    on_event: EventHandler | None = None,
) -> RunReport:
    """Train what is missing of a study, and put it into a store.

    Parameters
    ----------
    store
        A store, or the folder to make one in.
    data
        Folder with datasets; without it `PRUNESCOPE_DATA` and the cache are searched.
    device
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``: what torch calls it; with ``data_parallel`` one, or one for each
        process.
    workers
        Processes; None: as many as train fastest. 1 trains in this process.
    copies
        How many runs like this one share the store: cohorts are made small enough for all of them to have some.
    fail_fast
        End the run when a ladder fails, rather than go on with the others.
    keep_weights
        Keep the surviving weights of every rung, whatever the study says under ``keep``.
    keep_examples
        Keep the outcome on each training example of every rung, whatever the study says under ``keep_examples``.
    keep_test_examples
        Keep whether each test example is classified correctly, of every rung, whatever the study says.
    ladders
        Some of the study's, perhaps with fewer levels, to train those alone; None is all, and the scores of examples
        that the study asks for.
    datasets
        What `prunescope.data.read_datasets` has read of the user's own already; the others are read here.
    stop
        Asks the run to end after the rungs in training.
    takeover_after
        Seconds without a sign of life of this run after which others may take over its ladders; None: as the store
        has it, 60 unless it was opened otherwise.
    cluster
        A Dask cluster whose workers train; they must see the store under the same path.
    after_cohort
        Called when a cohort is done and on the disk.
    checkpoint_every
        Seconds between two savings of a rung under way: a kill costs no more than that.
    data_parallel
        Processes that train each network together, each on its share of every batch; with the numbers of one process
        to rounding. Under torchrun as many as it has started, whatever is given here; only its rank 0 has a report.
    on_event
        Called with each event (`run.events`).
    """
    clock = time.perf_counter()
    if workers is not None and workers < 1:
        raise InputError("the run", [Fault("workers", "must be 1 or more", str(workers))])
    place = torchrun_place()
    devices = devices_of(device, data_parallel, place)
    if len(devices) > 1 and (cluster is not None or workers not in (None, 1)):
        must = "must be left out where several processes train each network"
        raise InputError("the run", [Fault("cluster" if cluster else "workers", must)])
    data_folder = None if data is None else Path(data)
    read = dict(datasets or {})
    if ladders is None and datasets is None:
        study, read = read_datasets(study, data_folder, everything=True)
    keep = "all" if keep_weights else study.keep
    expiry = takeover_after or (store.leases.expiry if isinstance(store, Store) else EXPIRY)
    settings = RunSettings(
        study.name,
        device if cluster else device_named(devices[0]),
        keep=keep,
        keep_examples="all" if keep_examples else study.keep_examples,
        keep_test_examples="all" if keep_test_examples else study.keep_test_examples,
        home=study.home,
        expiry=expiry,
        checkpoint_every=checkpoint_every,
        processes=len(devices),
    )
    wanted = tuple(ladders) if ladders is not None else study.ladders
    in_memory = {label: own_data.dataset for label, own_data in read.items()}
    loaded = checked_datasets(wanted, data_folder, study.home, in_memory, whole=ladders is None)
    joined = None if place is None else place.join(settings.device)
    if joined is not None and joined.rank:
        RankTrainer(joined, data_folder, settings, loaded).run()
        return RunReport()
    opened = store
    if not isinstance(opened, Store) or opened.leases.expiry != expiry:
        opened = Store(opened.path if isinstance(opened, Store) else opened, create=True, expiry=expiry)
    done = opened.done()
    missing = [ladder for ladder in wanted if work_left(ladder, done)]
    scores = ensembles(study) if ladders is None else ()
    unscored = [ensemble for ensemble in scores if not is_scored(opened, ensemble)]
    changed = changed_datasets(opened, study, read.values())
    try:
        opened.begin(study)
        for own_data in read.values():
            keep_dataset(opened, own_data.section, own_data.place, own_data.marks)
    except UnwritableError:
        if missing or unscored:
            raise
    halt = stop or Stop()
    parallel = DataParallel(devices, data_folder, settings, joined=joined) if len(devices) > 1 else None
    used = max(1, cores() // (place.local_size if place else len(devices)))
    runner = TaskRunner(opened, data_folder, settings, used, loaded, halt, parallel)
    handler = _followed(on_event or _ignore, after_cohort)
    left = sum(work_left(ladder, done) for ladder in missing) + sum(ensemble.work for ensemble in unscored)
    total = sum(work_left(ladder, {}) for ladder in wanted) + sum(ensemble.work for ensemble in scores)
    handler(RunStarted(len(wanted), total, left))
    if missing or unscored:
        for event in described(wanted):
            handler(event)
    for words in changed:
        handler(DatasetChanged(words))
    if missing or unscored:
        opened.leases.tidy({ladder.identity for ladder in missing} | {ensemble.identity for ensemble in unscored})
        if not opened.leases.are_exclusive():
            handler(NotExclusive(str(opened.path)))
    kept = settings.keep, settings.keep_examples, settings.keep_test_examples
    for artifact_event in missing_artifacts(opened, wanted, done, *kept):
        handler(artifact_event)
    report, elsewhere = RunReport(ladders=len(wanted)), Elsewhere(wanted, scores, opened)
    if missing or unscored:
        if cluster is None:
            executor, where = executor_here(wanted, runner, opened, data_folder, settings, workers, handler)
        else:
            executor, where = executor_on(cluster, opened, data_folder, settings, halt, handler)
        schedule = TaskSchedule(wanted, done, executor.workers, unscored, copies)
        # Cohorts of a part of a study are no rule for those of the whole.
        tuning_cache = TuningCache(opened if ladders is None else None, *where)
        try:
            _run_tasks(executor, schedule, opened, tuning_cache, report, elsewhere, fail_fast, halt, handler)
        except _StopRun:
            report.stopped = True
        except UnwritableError as error:
            report.unwritable = str(error)
        except RankLostError as lost:
            report.lost = str(lost)
        except _CallbackError as callback_error:
            raise callback_error.error from None
        finally:
            executor.close()
            if parallel is not None:
                parallel.close()
        report.elsewhere = len(elsewhere.unfinished({failure.ladder for failure in report.failures}))
        report.halted = halt() and not _is_finished(wanted, scores, opened)
    report.seconds = time.perf_counter() - clock
    return report


def _ignore(event: Event) -> None:
    """Listen to nothing."""


def _followed(on_event: EventHandler, after_cohort: Callable[[], None] | None) -> EventHandler:
    """Return what listens to events, and tells who waits for cohorts."""
    if after_cohort is None:
        return on_event

    def handler(event: Event) -> None:
        on_event(event)
        if isinstance(event, CohortFinished):
            after_cohort()

    return handler


def _is_finished(ladders: Sequence[Ladder], scores: Sequence[Ensemble], store: Store) -> bool:
    done = store.done()
    return not any(work_left(ladder, done) for ladder in ladders) and all(is_scored(store, wanted) for wanted in scores)


class _StopRun(BaseException):
    """Ends the run at the first failure. Not an `Exception`, so that no task catches it."""


class _CallbackError(BaseException):
    """The caller's callback raised. Not an `Exception` either."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def _run_tasks(
    executor: Executor,
    schedule: TaskSchedule,
    store: Store,
    tuning_cache: TuningCache,
    report: RunReport,
    elsewhere: Elsewhere,
    fail_fast: bool,
    stop: Stop,
    on_event: EventHandler,
) -> None:
    """Submit tasks and handle their results until no task is left, or the run is to end."""
    trained = 0.0  # seconds of all rungs
    unwritten: dict[int, tuple[int, int]] = {}  # networks and work of cohorts that are not on the disk yet

    def report_event(event: Event) -> None:
        nonlocal trained
        match event:
            case RungFinished():
                waited = report.waited * trained + event.waited * event.seconds
                trained += event.seconds
                report.waited = waited / trained
                networks, work = unwritten.get(event.cohort, (0, 0))
                unwritten[event.cohort] = networks + event.networks, work + event.work
            case Written():
                unwritten.pop(event.cohort, None)
                report.rungs += event.rungs
                report.networks += event.networks
            case ExamplesScored():
                report.scored += 1
            case LadderFailed():
                report.failures.append(event)
            case LaddersElsewhere():
                elsewhere.add(event.identities)
            case TaskBegunAgain() if event.cohort in unwritten:
                on_event(Lost(event.cohort, *unwritten.pop(event.cohort)))
        try:
            on_event(event)
        except Exception as error:
            raise _CallbackError(error) from error
        if fail_fast and report.failures:
            raise _StopRun

    while True:
        while not stop() and executor.idle() and (task := schedule.next()) is not None:
            if isinstance(task, TrainTask):
                task = replace(task, elsewhere=elsewhere.identities)
            executor.submit(task)
        if stop():
            executor.drain()
        if not executor.busy():
            freed = {} if stop() else elsewhere.take_back({failure.ladder for failure in report.failures}, stop)
            if not freed:
                return
            report_event(LaddersFreed(len(freed), sum(freed.values())))
            schedule.take_up(freed.keys())
            continue
        for result in executor.results(report_event):
            if isinstance(result, TaskFailed | TaskUnfinished) and isinstance(result.task, TrainTask):
                number = result.task.cohort.number
                if number in unwritten:
                    report_event(Lost(number, *unwritten.pop(number)))
            match result:
                case TaskFailed(unwritable=True):
                    raise UnwritableError(result.words)
                case TaskFailed(lost=True):
                    raise RankLostError(result.words)
                case ShapeTuned():
                    _add_cohorts(result.task.key, result.tuning, schedule, tuning_cache, report_event)
                case TaskFailed(retry=True):
                    schedule.put_back(result.task)
                case TaskUnfinished():
                    schedule.put_back(result.task, halve=False)
                case TaskFailed(task=TuneTask() as task):
                    instead = "each of its ladders is trained alone, with one thread"
                    report_event(TuningFailed(task.words, result.words, instead))
                    _add_cohorts(task.key, CohortSettings(1, 1, 1, 1, 0.0), schedule, tuning_cache, report_event)
                case TaskFailed(task=ScoreTask() as task):
                    store.fail(task.name, 0, result.words)
                    ensemble = task.ensemble
                    report_event(LadderFailed(task.number, task.name, ensemble.words, 0, result.words, ensemble.work))
                    report_event(CohortFinished(task.number))
                    schedule.mark_finished(task)
                case TaskFailed(task=TrainTask() as task):
                    _give_up(task, result.words, store, {failure.ladder for failure in report.failures}, report_event)
                    schedule.mark_finished(task)
                case TaskDone(task=task):
                    schedule.mark_finished(task)


def _add_cohorts(
    key: Key, tuning: CohortSettings, schedule: TaskSchedule, tuning_cache: TuningCache, on_event: EventHandler
) -> None:
    """Form the cohorts of a shape as the store has them, or as is best; the store has them from now on."""
    settled = tuning_cache.of_store(key)
    for note in tuning_cache.damaged_notes(key):
        on_event(Unsound(f"{note} is damaged or holds what no run can have noted", "cohorts are formed anew"))
    if settled is None:
        settled = replace(tuning, starts=schedule.starts(key, tuning))
        if settled.seconds:
            tuning_cache.keep_in_store(key, settled)
            settled = tuning_cache.of_store(key) or settled  # where several runs began at once, all go by one of them
    schedule.add_cohorts(key, settled)


def _give_up(task: TrainTask, words: str, store: Store, failed: Set[str], on_event: EventHandler) -> None:
    """Note the failure of a cohort's ladders that are not complete, nor with another process, nor noted already."""
    done, elsewhere = store.done(), store.running(ladder.identity for ladder in task.cohort.ladders)
    for ladder in task.cohort.ladders:
        left = work_left(ladder, done)
        if left and ladder.identity not in elsewhere and ladder.identity not in failed:
            rung = first_missing(ladder, done)
            store.fail(ladder.identity, rung, words)
            on_event(LadderFailed(task.cohort.number, ladder.identity, task.cohort.words, rung, words, left))
    with store.claim_all(ladder.identity for ladder in task.cohort.ladders):
        pass  # what is given up is told: a later run tries anew
    on_event(CohortFinished(task.cohort.number))
