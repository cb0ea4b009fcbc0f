"""Does tasks on a Dask cluster. One task goes to a worker at a time, and Dask finds the worker.

A worker that dies, or a scheduler that is started again, costs what was not written. Dask gives the task of a lost
worker to another one; who trained what, and which ladder kills its workers, is known by the leases of the store, as
where runs on many machines share it.
"""

from __future__ import annotations

import pickle
import queue
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.errors import PrunescopeError, counted, said
from prunescope.run.cluster import Cluster
from prunescope.run.events import ClusterChanged, EventHandler, TaskBegunAgain, Written
from prunescope.run.executors import TaskFailed, TaskResult, TaskUnfinished
from prunescope.run.ladder_runner import TRIES, RunSettings
from prunescope.run.task_runner import Task, TrainTask
from prunescope.table.durable import new_draft

if TYPE_CHECKING:
    from distributed import Client, Future

    from prunescope.run.dask_worker import WorkerFacts

PATIENCE = 300.0  # seconds without a scheduler after which a run gives up
MOST_WAITS = 20  # for a worker, before a task is taken for what kills them
_LOOK = 1.0  # seconds
_GOODBYE = 10.0  # seconds in which workers write what they have, after Ctrl-C


class DaskExecutor:
    """Does tasks on a Dask cluster.

    Parameters
    ----------
    stop
        Whether the run is to end, so that nobody is waited for.
    """

    def __init__(
        self,
        cluster: Cluster,
        store: Path,
        data: Path | None,
        settings: RunSettings,
        stop: Callable[[], bool],
        on_event: EventHandler,
    ) -> None:
        self._cluster = cluster
        self._arguments = (store.absolute(), None if data is None else data.absolute(), settings)
        self._stop = stop
        self._heard: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._tasks: dict[str, Task] = {}
        self._futures: dict[str, Future] = {}
        self._begun: set[str] = set()
        self._deaths: Counter[str] = Counter()
        self._waits: Counter[str] = Counter()
        self._drained = False
        self._numbered = 0
        self.device, self.cores = settings.device, 1
        self._counted = (0, float("-inf"))  # workers, and when they were counted
        try:
            self._join(on_event, 0.0)
        except BaseException:
            self.close()
            raise

    def _join(self, on_event: EventHandler, patience: float) -> None:
        """Connect to the scheduler, wait for a worker, and give all of them what they need of the run."""
        self._name = f"prunescope-{uuid.uuid4().hex}"
        self._client = self._connected(time.monotonic() + patience)
        workers = self._workers()
        if not workers:
            on_event(ClusterChanged(f"waiting for workers of {self._cluster.source}"))
        # They come when there is work, for as long as somebody waits for it.
        wanted = self._client.submit(time.sleep, 0, pure=False, key=f"{self._name}-first")
        while not (workers := self._workers()):
            if self._stop():
                return
            time.sleep(0.1)
        wanted.release()
        facts = self._facts(workers)
        self._check(facts)
        shares = Counter(fact.place for fact in facts.values())
        first = next(iter(facts.values()))
        self.device, self.cores = first.device, max(1, len(first.place[1]) // shares[first.place])
        self._register(dict(shares))

    def _connected(self, until: float) -> Client:
        while True:
            try:
                return self._cluster.connect()
            except PrunescopeError:
                if self._stop() or time.monotonic() > until:
                    raise
                time.sleep(_LOOK)

    def _workers(self) -> dict[str, Any]:
        return dict(self._client.scheduler_info(n_workers=-1)["workers"])

    def _facts(self, workers: dict[str, Any]) -> dict[str, WorkerFacts]:
        """Ask workers what they are; refuse a cluster whose workers cannot say."""
        from prunescope.run.dask_worker import worker_facts

        store, _, settings = self._arguments
        probe = new_draft(store, ".probe")
        try:
            answers = self._client.run(worker_facts, probe, settings.device, workers=list(workers), on_error="return")
        finally:
            probe.unlink(missing_ok=True)
        failed = {address: answer for address, answer in answers.items() if isinstance(answer, BaseException)}
        for address, trouble in failed.items():
            if isinstance(trouble, ModuleNotFoundError):
                raise PrunescopeError(f"worker {address} cannot train: {trouble}; install prunescope[cluster] there")
            raise PrunescopeError(f"worker {address} cannot train: {trouble}")
        return dict(answers)

    def _check(self, facts: dict[str, WorkerFacts]) -> None:
        """Refuse workers that would train something else, or nothing."""
        from prunescope.run.dask_worker import versions

        for (what, here), place in zip(versions(), range(3), strict=True):
            others = {fact.versions[place][1]: address for address, fact in facts.items()}
            others.pop(here, None)
            for there, address in others.items():
                raise PrunescopeError(f"worker {address} has {what} {there}, this run {here}: install the same")
        for address, fact in facts.items():
            if fact.threads > 1:
                words = f"worker {address} takes {fact.threads} tasks at a time, each of which uses several cores"
                raise PrunescopeError(f"{words}: start workers with --nthreads 1")
            if not fact.sees_store:
                words = f"worker {address} does not see the store {self._arguments[0]}"
                raise PrunescopeError(f"{words}: put it where all machines see it, under one path")

    def _register(self, shares: dict[Any, int]) -> None:
        from distributed.diagnostics.plugin import UploadFile

        from prunescope.run.dask_worker import RunPlugin, versions

        self._client.subscribe_topic(self._name, self._hear)
        for path in self._cluster.upload:
            self._client.register_plugin(UploadFile(str(path)), name=_upload_name(path))
        plugin = RunPlugin(self._name, versions(), self._arguments, shares)
        self._client.register_plugin(plugin)

    def _hear(self, message: tuple[float, bytes]) -> None:
        """Take in what a worker says; called in the thread of the connection."""
        self._heard.put(pickle.loads(message[1]))  # noqa: S301 - whoever is let in to a cluster may run code there

    @property
    def workers(self) -> int:
        """How many tasks are done at a time: as many as there are workers, or may be."""
        if self._cluster.capacity:
            return self._cluster.capacity
        now = time.monotonic()
        if now - self._counted[1] > _LOOK:
            with suppress(OSError):  # without a scheduler, which `results` hears of
                self._counted = len(self._workers()), now
        return max(1, self._counted[0])

    def idle(self) -> bool:
        """Whether another task can be submitted."""
        return len(self._tasks) < self.workers

    def busy(self) -> bool:
        """Whether a task is being done."""
        return bool(self._tasks)

    def submit(self, task: Task) -> None:
        """Submit a task."""
        from prunescope.run.dask_worker import do_task

        self._numbered += 1
        token = f"{self._name}-{self._numbered}"
        self._tasks[token] = task
        content = pickle.dumps(task)
        future = self._client.submit(do_task, self._name, token, content, key=token, pure=False)
        self._futures[token] = future
        future.add_done_callback(lambda done: self._heard.put((done.key, done)))

    def results(self, on_event: EventHandler) -> Iterator[TaskResult]:
        """Wait for what happens next on any worker."""
        with suppress(queue.Empty):
            heard = self._heard.get(timeout=_LOOK)
            while True:
                yield from self._handled(*heard, on_event)
                heard = self._heard.get_nowait()

    def _handled(self, token: str, what: Any, on_event: EventHandler) -> Iterator[TaskResult]:
        task = self._tasks.get(token)
        if isinstance(what, str) and not token:
            on_event(ClusterChanged(what))
        elif task is None:
            return  # of a task that was given up, or the end of one whose result was heard
        elif what == "begun":
            if token in self._begun and isinstance(task, TrainTask):
                on_event(TaskBegunAgain(task.cohort.number))
            self._begun.add(token)
        elif isinstance(what, TaskResult):
            self._forget(token)
            yield what
        elif hasattr(what, "key"):
            yield from self._ended(token, task, what, on_event)
        else:
            if isinstance(what, Written) and what.rungs:
                self._deaths.pop(task.name, None)
            on_event(what)

    def _ended(self, token: str, task: Task, future: Future, on_event: EventHandler) -> Iterator[TaskResult]:
        """Yield what becomes of a task that ended without a result."""
        if future.status in ("cancelled", "lost"):
            yield from self._rejoin(on_event)
            return
        from distributed import KilledWorker

        self._forget(token)
        trouble = future.exception() if future.status == "error" else None
        if isinstance(trouble, KilledWorker) and token not in self._begun:
            self._waits[task.name] += 1
            if self._waits[task.name] <= MOST_WAITS:  # it stood in line at a worker that another task has killed
                yield TaskUnfinished(task)
                return
        self._deaths[task.name] += 1
        words = "its result was lost" if trouble is None else said(trouble)
        if isinstance(trouble, KilledWorker):
            words = f"the workers that did it were lost, the last one {trouble.last_worker.address}"
        yield TaskFailed(task, words, retry=self._deaths[task.name] < TRIES)

    def _rejoin(self, on_event: EventHandler) -> Iterator[TaskResult]:
        """Connect anew after the scheduler was lost, and give back all tasks."""
        lost, tasks = len(self._tasks), list(self._tasks.values())
        self._tasks.clear()
        self._futures.clear()
        on_event(
            ClusterChanged(f"the scheduler of {self._cluster.source} is gone with {counted(lost, 'task')}; waiting")
        )
        with suppress(Exception):  # it is broken already
            self._client.close(timeout=1)
        self._join(on_event, PATIENCE)
        on_event(ClusterChanged(f"the scheduler of {self._cluster.source} is back"))
        for task in tasks:
            yield TaskUnfinished(task)

    def _forget(self, token: str) -> None:
        self._tasks.pop(token, None)
        self._futures.pop(token, None)

    def drain(self) -> None:
        """Ask all workers to end after the rungs in training."""
        if not self._drained:
            with suppress(OSError):
                self._tell("drain")
                self._drained = True

    def close(self) -> None:
        """Leave the cluster. Tasks at hand end when they next report something, with what is finished written."""
        with suppress(Exception):  # the connection may be what ended the run
            if self._futures:
                self._tell("end")
                until = time.monotonic() + _GOODBYE
                while not all(future.done() for future in self._futures.values()) and time.monotonic() < until:
                    time.sleep(0.02)
                self._client.cancel(list(self._futures.values()))
            for name in (self._name, *map(_upload_name, self._cluster.upload)):
                self._client.unregister_worker_plugin(name)
        self._tasks.clear()
        with suppress(Exception):
            self._client.close(timeout=5)

    def _tell(self, what: str) -> None:
        from prunescope.run.dask_worker import tell

        self._client.run(tell, self._name, what, on_error="ignore")


def _upload_name(path: Path) -> str:
    return f"prunescope-upload-{path.name}"
