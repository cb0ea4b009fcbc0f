"""What happens in a worker of a Dask cluster: a plugin of the run does its tasks, one at a time, and reports.

Events and results travel through the scheduler under a topic of the run, in the order in which they happened. Torch is
loaded by the threads that do tasks and not by the worker's event loop, so that heartbeats live.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import sys
import time
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distributed import Status, Worker, WorkerPlugin, get_worker
from distributed.utils import sync

from prunescope.run.cluster_file import ENDS
from prunescope.run.events import Event
from prunescope.version import __version__

if TYPE_CHECKING:
    from prunescope.run.ladder_runner import RunSettings
    from prunescope.run.task_runner import Task, TaskRunner

_AT_WORK = ("executing", "long-running")
_CLOSING = (Status.closing, Status.closed, Status.failed)


class Ended(BaseException):
    """Nobody waits for a task any more. Not an `Exception`, so that no cohort takes it for its own."""


@dataclass(frozen=True)
class WorkerFacts:
    """What a worker says of itself before it gets work.

    Attributes
    ----------
    versions
        Of Python, torch and prunescope.
    place
        The machine and its cores; workers of one place share these cores.
    threads
        Tasks that Dask would give it at a time.
    sees_store
        Whether the store's folder is there, with a file that the run has just written.
    """

    versions: tuple[tuple[str, str], ...]
    place: tuple[str, tuple[int, ...]]
    device: str
    threads: int
    sees_store: bool


def versions() -> tuple[tuple[str, str], ...]:
    """Return what must be the same everywhere. Builds of one torch for different devices are one version."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return ("Python", python), ("torch", metadata.version("torch").partition("+")[0]), ("prunescope", __version__)


def place() -> tuple[str, tuple[int, ...]]:
    """Return what tells the cores of this process from those of others."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return socket.gethostname(), tuple(sorted(cores))


async def worker_facts(probe: Path, device: str, dask_worker: Worker) -> WorkerFacts:
    """Return what a run must know of a worker; runs there."""

    def looked_up() -> str:
        from prunescope.run.task_runner import device_named

        return device_named(device)

    return WorkerFacts(
        versions(), place(), await asyncio.to_thread(looked_up), dask_worker.state.nthreads, probe.is_file()
    )  # fmt: skip


class RunPlugin(WorkerPlugin):  # type: ignore[misc]
    """A run, as each of its workers has it.

    Parameters
    ----------
    name
        Of the run: the topic of its messages.
    wanted
        `versions` of the run. A worker that comes later with others is sent away.
    shares
        How many workers share the cores of a place, as far as the run has seen.
    """

    def __init__(
        self,
        name: str,
        wanted: tuple[tuple[str, str], ...],
        arguments: tuple[Path, Path | None, RunSettings],
        shares: dict[tuple[str, tuple[int, ...]], int],
    ) -> None:
        self.name = name
        self._wanted = wanted
        self._store = str(arguments[0])
        self._arguments = pickle.dumps(arguments)  # opened by the thread of a task, since it needs torch
        self._shares = shares
        self._runner: TaskRunner | None = None
        self._stopping = self._ended = False

    def setup(self, worker: Worker) -> None:
        """Look whether the worker will do; send it away otherwise."""
        pairs = zip(versions(), self._wanted, strict=True)
        differing = [f"{what} {there}" for (what, there), (_, here) in pairs if there != here]
        if not Path(self._store).is_dir():
            differing.append(f"no folder {self._store}")
        if worker.state.nthreads > 1:
            differing.append(f"{worker.state.nthreads} threads")
        if differing:
            worker.log_event(self.name, pickle.dumps(("", f"worker {worker.address} was sent away: {differing[0]}")))
            worker.loop.add_callback(worker.close_gracefully, restart=False, reason="prunescope-refused")

    def drain(self) -> None:
        """Begin no other rung."""
        self._stopping = True

    def end(self) -> None:
        """Leave the task at hand."""
        self._ended = True

    def run(self, worker: Worker, token: str, task: Task) -> None:
        """Do a task, in a thread of the worker, and report its events and its result."""
        from prunescope.run.executors import TaskDone, TaskUnfinished, run_task

        def on_event(event: Event) -> None:
            state = worker.state.tasks.get(token)
            if self._ended or state is None or state.state not in _AT_WORK or worker.status in _CLOSING:
                raise Ended
            worker.log_event(self.name, pickle.dumps((token, event)))

        # By a call of its own, which is answered: what dies in an instant must have been heard to begin.
        sync(worker.loop, worker.scheduler.log_event, topic=self.name, msg=pickle.dumps((token, "begun")))
        runner = self._runner or self._new_runner()
        self._runner = runner
        result = run_task(runner, task, on_event)
        if self._is_over() and not self._stopping:
            result = TaskUnfinished(task) if isinstance(result, TaskDone) else result
            worker.loop.add_callback(worker.close_gracefully, restart=False, reason="prunescope-time")
        self._say(worker, token, result)

    def _say(self, worker: Worker, token: str, what: object) -> None:
        worker.log_event(self.name, pickle.dumps((token, what)))

    def _new_runner(self) -> TaskRunner:
        from prunescope.run.task_runner import TaskRunner, device_named, hold_memory
        from prunescope.table import Store

        hold_memory()
        store, data, settings = pickle.loads(self._arguments)  # noqa: S301 - from the run, as this plugin is
        cores = max(1, len(place()[1]) // self._shares.get(place(), 1))
        opened = Store(store, expiry=settings.expiry)
        settings = replace(settings, device=device_named(settings.device))
        return TaskRunner(opened, data, settings, cores, stop=lambda: self._stopping or self._is_over())

    @staticmethod
    def _is_over() -> bool:
        """Whether the job of this worker ends soon, by the clock of its machine."""
        return time.time() > float(os.environ.get(ENDS, "inf"))


def do_task(name: str, token: str, content: bytes) -> None:
    """Do a task in a worker.

    Parameters
    ----------
    content
        The task, pickled, so that the scheduler need not open it.
    """
    worker: Any = get_worker()
    worker.plugins[name].run(worker, token, pickle.loads(content))  # noqa: S301


def tell(name: str, what: str, dask_worker: Worker) -> None:
    """Call a method of a run's plugin; runs in the event loop of a worker."""
    if name in dask_worker.plugins:
        getattr(dask_worker.plugins[name], what)()
