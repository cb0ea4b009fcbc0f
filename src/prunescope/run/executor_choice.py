"""Who does the tasks of a run: its own process, worker processes of this machine, or the workers of a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from prunescope.errors import said
from prunescope.run.cluster import Cluster
from prunescope.run.estimate import SOON, cores
from prunescope.run.events import EventHandler, TuningFailed
from prunescope.run.executors import Executor, InProcess, WorkerProcesses
from prunescope.run.ladder_runner import RunSettings
from prunescope.run.task_runner import TaskRunner
from prunescope.run.task_schedule import TaskSchedule
from prunescope.study import Ladder
from prunescope.table import Store

Place = tuple[str, int]
"""The device and the number of cores for which it is noted how cohorts train fastest."""


def executor_here(
    ladders: Sequence[Ladder],
    runner: TaskRunner,
    store: Store,
    data: Path | None,
    settings: RunSettings,
    workers: int | None,
    on_event: EventHandler,
) -> tuple[Executor, Place]:
    """Return who does the work on this machine: this process where that is enough, else workers sharing its cores."""
    place = settings.trained_on, (available := max(1, cores() // settings.processes))
    if settings.processes > 1:
        return InProcess(runner), place
    if workers == 1 or (workers is None and (available == 1 or settings.device != "cpu" or len(ladders) == 1)):
        return InProcess(runner), place
    if workers is None:
        # The heaviest shape decides: with one thread it is trained by many workers, with all by this process alone.
        schedule = TaskSchedule(ladders, {}, 1)
        heaviest = schedule.heaviest()
        try:
            tuning = runner.tune(heaviest, on_event)
        except Exception as error:
            on_event(TuningFailed(heaviest.words, said(error), "this process trains without workers"))
            return InProcess(runner), place
        steps = schedule.work / heaviest.ladder.recipe.batch
        if tuning.threads == available or steps * tuning.seconds < SOON:
            return InProcess(runner), place
        workers = available
    workers = min(workers, len(ladders))
    return WorkerProcesses(workers, store.path, data, settings, max(1, available // workers)), place


def executor_on(
    cluster: Cluster,
    store: Store,
    data: Path | None,
    settings: RunSettings,
    stop: Callable[[], bool],
    on_event: EventHandler,
) -> tuple[Executor, Place]:
    """Return the workers of a cluster; notes of how cohorts train fastest are for what its first worker is like."""
    from prunescope.run.dask_executor import DaskExecutor

    executor = DaskExecutor(cluster, store.path, data, settings, stop, on_event)
    return executor, (executor.device, executor.cores)
