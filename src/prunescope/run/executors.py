"""Who does the tasks of a run: this process, or workers.

Each worker has a pipe of its own, so that one that is killed takes nothing with it. One whose run has gone ends too.
Ctrl-C is the run's to answer: workers ignore SIGINT, whoever sends it to them, and are ended by the run.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Protocol

from prunescope.errors import PrunescopeError, UnwritableError, said
from prunescope.run.climb import RunSettings
from prunescope.run.events import Event, Tell
from prunescope.run.memory import hold_memory
from prunescope.run.task_runner import ScoreTask, Task, TaskRunner, TrainTask, TuneTask
from prunescope.run.tuning_cache import CohortSettings
from prunescope.table import Store

LIVES = 2  # a task whose worker died is tried once more; a cohort in halves, each with as many lives


@dataclass(frozen=True)
class ShapeTuned:
    """A shape was measured."""

    task: TuneTask
    choice: CohortSettings


@dataclass(frozen=True)
class TaskDone:
    """A cohort was trained, as far as it went, or examples scored."""

    task: TrainTask | ScoreTask


@dataclass(frozen=True)
class TaskFailed:
    """A task could not be done; ``words`` say why.

    Attributes
    ----------
    again
        Asks for another try.
    unwritable
        The store cannot be written to, so that no other task could be done either.
    """

    task: Task
    words: str
    again: bool = False
    unwritable: bool = False


Answer = ShapeTuned | TaskDone | TaskFailed


class Executor(Protocol):
    """Does tasks, one or several at a time."""

    hands: int

    def idle(self) -> bool:
        """Whether another task can be given."""
        ...

    def busy(self) -> bool:
        """Whether a task is being done."""
        ...

    def give(self, task: Task) -> None:
        """Give a task."""
        ...

    def hear(self, tell: Tell) -> Iterator[Answer]:
        """Wait for what happens next; pass events on, return answers."""
        ...

    def close(self) -> None:
        """End whatever is going on."""
        ...


def _do(hand: TaskRunner, task: Task, tell: Tell) -> Answer:
    """Do a task and say what came of it. A fault in one cohort must not end the others, whatever it is."""
    try:
        if isinstance(task, TuneTask):
            return ShapeTuned(task, hand.measure(task, tell))
        if isinstance(task, ScoreTask):
            hand.rate(task, tell)
        else:
            hand.go(task, tell)
    except Exception as trouble:
        words = str(trouble) if isinstance(trouble, PrunescopeError) else said(trouble)
        return TaskFailed(task, words, unwritable=isinstance(trouble, UnwritableError))
    return TaskDone(task)


class InProcess:
    """The run's own process does everything itself."""

    hands = 1

    def __init__(self, hand: TaskRunner) -> None:
        self._hand = hand
        self._task: Task | None = None

    def idle(self) -> bool:
        """Whether another task can be given."""
        return self._task is None

    def busy(self) -> bool:
        """Whether a task is being done."""
        return self._task is not None

    def give(self, task: Task) -> None:
        """Give a task; it is done by `hear`."""
        self._task = task

    def hear(self, tell: Tell) -> Iterator[Answer]:
        """Do the task."""
        task, self._task = self._task, None
        if task is not None:
            yield _do(self._hand, task, tell)

    def close(self) -> None:
        """Nothing goes on."""


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    pipe: Connection
    task: Task | None = None


class WorkerProcesses:
    """Processes of their own, started one by one as tasks come.

    Parameters
    ----------
    hands
        How many.
    cores
        How many each may keep busy.
    """

    def __init__(self, hands: int, store: Path, data: Path | None, settings: RunSettings, cores: int) -> None:
        self.hands = hands
        self._arguments = (store, data, settings, cores)
        self._workers: list[_Worker] = []
        self._deaths: Counter[str] = Counter()

    def idle(self) -> bool:
        """Whether another task can be given."""
        return len(self._workers) < self.hands or any(each.task is None for each in self._workers)

    def busy(self) -> bool:
        """Whether a task is being done."""
        return any(each.task is not None for each in self._workers)

    def give(self, task: Task) -> None:
        """Give a task to a worker that has none, or to a new one."""
        worker = next((each for each in self._workers if each.task is None), None) or self._new()
        worker.task = task
        with suppress(BrokenPipeError, ConnectionError):  # its death is heard of in `hear`
            worker.pipe.send(task)

    def _new(self) -> _Worker:
        # Not by multiprocessing, whose workers import the main module: a script need not guard itself against that. In
        # a session of its own, a terminal's Ctrl-C reaches the run alone; that of others is ignored before all else.
        # With -P Python does not search the current folder before the worker has the run's own path.
        ours, theirs = Pipe()
        program = (
            "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
            f"sys.path[:] = {sys.path!r}; "
            f"from prunescope.run.executors import serve; serve({theirs.fileno()}, {os.getpid()})"
        )
        process = subprocess.Popen(  # noqa: S603 - this very interpreter
            [sys.executable, "-P", "-c", program],
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        ours.send(self._arguments)
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def hear(self, tell: Tell) -> Iterator[Answer]:
        """Wait for what happens next in any worker."""
        by_pipe = {each.pipe: each for each in self._workers}
        for pipe in wait(list(by_pipe), timeout=1.0):
            worker = by_pipe[pipe]  # type: ignore[index]
            try:
                message: Event | Answer = worker.pipe.recv()
            except (EOFError, OSError):  # the latter where it died in the middle of a message
                worker.process.kill()
                yield from self._dead(worker)
                continue
            if isinstance(message, ShapeTuned | TaskDone | TaskFailed):
                worker.task = None
                yield message
            else:
                tell(message)

    def _dead(self, worker: _Worker) -> Iterator[Answer]:
        """Tell what a worker was at when it died."""
        code = worker.process.wait()
        worker.pipe.close()
        self._workers.remove(worker)
        task = worker.task
        if task is None:
            return
        self._deaths[task.name] += 1  # by what it is about: a task that was put back has another number
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        hint = " The system may have run out of memory." if code == -signal.SIGKILL else ""
        yield TaskFailed(task, f"its worker process {how}.{hint}", again=self._deaths[task.name] < LIVES)

    def close(self) -> None:
        """End all workers; what they have reported is on the disk, and nothing else counts."""
        for worker in self._workers:
            worker.pipe.close()
            worker.process.kill()
        for worker in self._workers:
            worker.process.wait()
        self._workers.clear()


def serve(handle: int, parent: int) -> None:
    """Do tasks in a worker process until the pipe closes or the run is gone."""
    _die_with_parent()
    hold_memory()
    pipe = Connection(handle)
    with suppress(EOFError, ConnectionError):
        store, data, settings, cores = pipe.recv()
        hand = TaskRunner(Store(store), data, settings, cores)

        def tell(event: Event) -> None:
            if os.getppid() != parent:
                os._exit(1)
            pipe.send(event)

        while True:
            pipe.send(_do(hand, pipe.recv(), tell))


def _die_with_parent() -> None:
    """Ask Linux to kill this process with the run's own; elsewhere it ends when it next tells something."""
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
