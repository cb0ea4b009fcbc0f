"""Executors do the tasks of a run: in its own process, in worker processes, or on a Dask cluster (`dask_executor`).

Each worker has its own pipe, so a worker that is killed affects no other. Workers end with their run. They ignore
SIGINT and SIGTERM, whoever sends them: the run handles both and ends them.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Protocol

from prunescope.errors import PrunescopeError, UnwritableError, said
from prunescope.run.child_process import ChildProcess, die_with_parent, end_children, ending, start_child
from prunescope.run.events import Event, EventHandler
from prunescope.run.ladder_runner import TRIES, RunSettings
from prunescope.run.task_runner import ScoreTask, Task, TaskRunner, TrainTask, TuneTask, hold_memory
from prunescope.run.tuning_cache import CohortSettings
from prunescope.table import Store
from prunescope.train.ranks import RankLostError


@dataclass(frozen=True)
class ShapeTuned:
    """A shape of network was tuned."""

    task: TuneTask
    tuning: CohortSettings


@dataclass(frozen=True)
class TaskDone:
    """A cohort was trained as far as possible, or examples were scored."""

    task: TrainTask | ScoreTask


@dataclass(frozen=True)
class TaskFailed:
    """A task could not be done; ``words`` say why.

    Attributes
    ----------
    retry
        Whether to try the task once more.
    unwritable
        Whether the store cannot be written to, so that other tasks would fail too.
    lost
        Whether a process is lost that trains each network together with this one, which ends the run.
    """

    task: Task
    words: str
    retry: bool = False
    unwritable: bool = False
    lost: bool = False


@dataclass(frozen=True)
class TaskUnfinished:
    """A task ended early through no fault of its own, since its worker's time was over or it was lost: do it again."""

    task: Task


TaskResult = ShapeTuned | TaskDone | TaskFailed | TaskUnfinished


class Executor(Protocol):
    """Does tasks, one or several at a time."""

    @property
    def workers(self) -> int:
        """How many tasks can be done at a time."""
        ...

    def idle(self) -> bool:
        """Whether another task can be submitted."""
        ...

    def busy(self) -> bool:
        """Whether a task is being done."""
        ...

    def submit(self, task: Task) -> None:
        """Submit a task."""
        ...

    def results(self, on_event: EventHandler) -> Iterator[TaskResult]:
        """Wait for what happens next: pass events on, yield results."""
        ...

    def drain(self) -> None:
        """End the work at hand after the rungs in training."""
        ...

    def close(self) -> None:
        """End all work."""
        ...


def run_task(runner: TaskRunner, task: Task, on_event: EventHandler) -> TaskResult:
    """Do a task and return its result. No fault in one cohort may end the others."""
    try:
        if isinstance(task, TuneTask):
            return ShapeTuned(task, runner.tune(task, on_event))
        if isinstance(task, ScoreTask):
            runner.score(task, on_event)
        else:
            runner.train(task, on_event)
    except Exception as error:
        words = str(error) if isinstance(error, PrunescopeError) else said(error)
        lost = isinstance(error, RankLostError)
        return TaskFailed(task, words, unwritable=isinstance(error, UnwritableError), lost=lost)
    return TaskDone(task)


class InProcess:
    """Does tasks in the run's own process."""

    workers = 1

    def __init__(self, runner: TaskRunner) -> None:
        self._runner = runner
        self._task: Task | None = None

    def idle(self) -> bool:
        """Whether another task can be submitted."""
        return self._task is None

    def busy(self) -> bool:
        """Whether a task is being done."""
        return self._task is not None

    def submit(self, task: Task) -> None:
        """Submit a task; `results` does it."""
        self._task = task

    def results(self, on_event: EventHandler) -> Iterator[TaskResult]:
        """Do the task."""
        task, self._task = self._task, None
        if task is not None:
            yield run_task(self._runner, task, on_event)

    def drain(self) -> None:
        """Do nothing: the runner asks by itself whether to stop."""

    def close(self) -> None:
        """Do nothing: no work is done between calls."""


@dataclass
class _Worker(ChildProcess):
    task: Task | None = None
    drained: bool = False


class WorkerProcesses:
    """Does tasks in worker processes, started one by one as tasks come.

    Parameters
    ----------
    workers
        How many.
    cores
        How many each may keep busy.
    """

    def __init__(self, workers: int, store: Path, data: Path | None, settings: RunSettings, cores: int) -> None:
        self.workers = workers
        self._arguments = (store, data, settings, cores)
        self._processes: list[_Worker] = []
        self._deaths: Counter[str] = Counter()

    def idle(self) -> bool:
        """Whether another task can be submitted."""
        return len(self._processes) < self.workers or any(worker.task is None for worker in self._processes)

    def busy(self) -> bool:
        """Whether a task is being done."""
        return any(worker.task is not None for worker in self._processes)

    def submit(self, task: Task) -> None:
        """Send a task to an idle worker, or to a new one."""
        worker = next((worker for worker in self._processes if worker.task is None), None) or self._start_worker()
        worker.task = task
        with suppress(BrokenPipeError, ConnectionError):  # `results` reports its death
            worker.pipe.send(task)

    def _start_worker(self) -> _Worker:
        child = start_child(__name__)
        child.pipe.send(self._arguments)
        worker = _Worker(child.process, child.pipe)
        self._processes.append(worker)
        return worker

    def results(self, on_event: EventHandler) -> Iterator[TaskResult]:
        """Wait for what happens next in any worker."""
        by_pipe = {worker.pipe: worker for worker in self._processes}
        for pipe in wait(list(by_pipe), timeout=1.0):
            worker = by_pipe[pipe]  # type: ignore[index]
            try:
                message: Event | TaskResult = worker.pipe.recv()
            except (EOFError, OSError):  # the latter where it died in the middle of a message
                worker.process.kill()
                yield from self._lost_task(worker)
                continue
            if isinstance(message, TaskResult):
                worker.task = None
                yield message
            else:
                on_event(message)

    def _lost_task(self, worker: _Worker) -> Iterator[TaskResult]:
        """Yield the failure of the task that a worker was doing when it died."""
        code = worker.process.wait()
        worker.pipe.close()
        self._processes.remove(worker)
        task = worker.task
        if task is None:
            return
        # Tried again, a cohort in halves, each with as many tries. By what it is about: its number changes then.
        self._deaths[task.name] += 1
        hint = " The system may have run out of memory." if code == -signal.SIGKILL else ""
        yield TaskFailed(task, f"its worker process {ending(code)}.{hint}", retry=self._deaths[task.name] < TRIES)

    def drain(self) -> None:
        """Ask all workers to end after the rungs in training."""
        for worker in self._processes:
            if not worker.drained:
                worker.drained = True
                with suppress(BrokenPipeError, ConnectionError):
                    worker.pipe.send(None)

    def close(self) -> None:
        """End all workers. What they reported as written is on disk."""
        end_children(self._processes)
        self._processes.clear()


def serve(handle: int, parent: int) -> None:
    """Do tasks in a worker process until there is nothing more to do, the pipe closes or the run is gone."""
    die_with_parent()
    hold_memory()
    pipe = Connection(handle)
    with suppress(EOFError, ConnectionError):
        store, data, settings, cores = pipe.recv()
        # A run sends nothing to a worker that is at a task, but the request to end.
        runner = TaskRunner(Store(store, expiry=settings.expiry), data, settings, cores, stop=pipe.poll)

        def on_event(event: Event) -> None:
            if os.getppid() != parent:
                os._exit(1)
            pipe.send(event)

        while (task := pipe.recv()) is not None:
            pipe.send(run_task(runner, task, on_event))
