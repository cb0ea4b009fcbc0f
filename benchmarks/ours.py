"""Our way of training, in processes of its own as a run has them: measured shapes, timed rungs, whole studies."""

from __future__ import annotations

import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.plain import Loop
from prunescope.data import Dataset, Subsample
from prunescope.nets import network
from prunescope.nets.cohort import Layout
from prunescope.run import data_parallel, run_study
from prunescope.run.task_runner import hold_memory
from prunescope.run.tune import choose, threads
from prunescope.run.tuning_cache import CohortSettings
from prunescope.study import Study
from prunescope.study.read import study_from
from prunescope.study.sections import Recipe
from prunescope.table import Store
from prunescope.train import (
    CohortMember,
    Seeding,
    Span,
    TrainingContext,
    train_rung,
)

TEST = 500  # pictures; measuring networks is no part of the figures
SIZES = {"mnist": (60_000, (1, 28, 28)), "cifar10": (50_000, (3, 32, 32))}


@dataclass(frozen=True)
class Shape:
    """A network and how it is trained.

    Attributes
    ----------
    members
        Of a cohort, at most.
    """

    dataset: str
    family: str
    depth: int
    width: float
    members: int
    precision: str = "float32"
    device: str = "cpu"

    @property
    def recipe(self) -> Recipe:
        """As the presets have it; the epochs play no part."""
        common = {"epochs": 2, "batch": 128, "learning_rate": 0.1, "levels": 0, "precision": self.precision}
        pictures = {"momentum": 0.9, "weight_decay": 1e-4, "augment": "flip-crop"}
        return Recipe.model_validate(common if self.family == "lenet" else common | pictures)

    def bench(self, layout: Layout = Layout()) -> TrainingContext:  # noqa: B008 - frozen
        """Return where it is trained."""
        data = made_up(self.dataset)
        net = network(self.family, self.depth, self.width, data.classes, data.shape)
        return TrainingContext(net, self.recipe, data, torch.device(self.device), layout=layout)


@lru_cache
def made_up(name: str) -> Dataset:
    """Return random pictures of a dataset's shape and size."""
    count, shape = SIZES[name]
    chance = np.random.default_rng(0)
    images = chance.integers(0, 256, (count + TEST, *shape), dtype=np.uint8)
    labels = chance.integers(0, 10, count + TEST)
    mean, std = (127.5, 127.0, 128.0)[: shape[0]], (73.9, 73.8, 74.0)[: shape[0]]
    return Dataset(name, images[:count], labels[:count], images[count:], labels[count:], 10, mean, std)


class Workers:
    """Processes that call functions for this one, at once, each with a barrier to meet the others at.

    Parameters
    ----------
    most
        How many there may be; each is started when it is first needed, and kept.
    """

    def __init__(self, most: int) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._barriers = [self._context.Barrier(count) for count in range(1, most + 1)]
        self._pipes: list[Connection] = []
        self._processes: list[BaseProcess] = []

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *trouble: object) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join()

    def _start(self) -> None:
        pipe, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._barriers), daemon=True)
        process.start()
        theirs.close()
        self._pipes.append(pipe)
        self._processes.append(process)

    def __call__(self, count: int, function: Callable[..., Any], *arguments: object) -> list[Any]:
        """Return what ``function(barrier, *arguments)`` gives in each of ``count`` processes."""
        while len(self._pipes) < count:
            self._start()
        for pipe in self._pipes[:count]:
            pipe.send((count, function, arguments))
        return [pipe.recv() for pipe in self._pipes[:count]]


def _serve(pipe: Connection, barriers: Sequence[Barrier]) -> None:
    hold_memory()
    with suppress(EOFError):
        while True:
            count, function, arguments = pipe.recv()
            pipe.send(function(barriers[count - 1], *arguments))


def chosen(barrier: Barrier, shape: Shape) -> CohortSettings:
    """Return how a shape is trained fastest, as a run finds it."""
    del barrier
    return choose(shape.bench(), shape.members, len(os.sched_getaffinity(0)))


class Stopwatch:
    """A tick of `train_rung` that notes when the first epoch of two ends, and when the second does."""

    def __init__(self, device: torch.device, barrier: Barrier | None = None) -> None:
        self.begun = self.ended = 0.0
        self._barrier = barrier
        self._device = device

    def __call__(self, done: int, total: int) -> None:
        """Note the time where an epoch ends."""
        if done not in (total // 2, total):
            return
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        if done == total:
            self.ended = time.perf_counter()
        else:
            if self._barrier is not None:
                self._barrier.wait()
            self.begun = time.perf_counter()

    @property
    def seconds(self) -> float:
        """What the second epoch took."""
        return self.ended - self.begun


def members(bench: TrainingContext, count: int, steps: int) -> list[CohortMember]:
    """Return members with examples for so many steps, from all over the dataset."""
    found = []
    for member in range(count):
        train = np.random.default_rng(member).permutation(len(bench.dataset.train_labels))[: steps * bench.recipe.batch]
        share = Subsample(train, bench.dataset.train_labels[train], np.zeros(len(train), bool), np.empty(0, np.int64))
        found.append(CohortMember(share, Seeding(("bench", member))))
    return found


_kept_bench = lru_cache(Shape.bench)


def trained(barrier: Barrier, shape: Shape, choice: CohortSettings, steps: int) -> tuple[float, float]:
    """Train a cohort for some steps, after as many to warm up; return when that began and ended."""
    bench = _kept_bench(shape, Layout(choice.together, choice.pack, choice.planar))
    chance = np.random.default_rng(0)
    start = bench.stacked([bench.network.start(chance) for _ in range(choice.members)])
    watch = Stopwatch(bench.device, barrier)
    with threads(choice.threads):
        train_rung(bench, members(bench, choice.members, steps), start, {}, 0, Span(0, 2), watch)
    return watch.begun, watch.ended


@lru_cache
def _loop(shape: Shape) -> Loop:
    return Loop(made_up(shape.dataset), shape.recipe, shape.family, shape.depth, shape.width, shape.device)


def plain(barrier: Barrier, shape: Shape, steps: int) -> tuple[float, float]:
    """Train one network the plain way with one thread; return when some steps began and ended."""
    with threads(1):
        _loop(shape).seconds(1)
        barrier.wait()
        begun = time.perf_counter()
        _loop(shape).seconds(steps)
    return begun, time.perf_counter()


def wall(spans: Sequence[tuple[float, float]]) -> float:
    """Return the seconds from the first begin to the last end."""
    return max(end for _, end in spans) - min(begin for begin, _ in spans)


def tiny(replicates: int, seed: int, epochs: int) -> Study:
    """Return a study of tiny networks on the digits."""
    return study_from(
        {
            "name": "tiny",
            "seed": seed,
            "replicates": replicates,
            "axes": {"dataset": "digits", "family": "lenet", "depth": 3, "width": 0.02},
            "recipe": {"epochs": epochs, "batch": 32, "learning_rate": 0.1, "levels": 5},
            "treatments": [{"kind": "imp"}],
        }
    )


def overhead(barrier: Barrier, replicates: int, epochs: int) -> list[tuple[float, float]]:
    """Run a study of tiny ladders into an empty store, twice; return the seconds of each, and those in rungs.

    The first run measures how the shape trains fastest, the second remembers.
    """
    del barrier
    found = []
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, XDG_CACHE_HOME=f"{folder}/cache"):
        for turn in range(2):
            inside = 0.0

            def timed(*arguments: Any) -> Any:
                nonlocal inside
                begun = time.perf_counter()
                result = train_rung(*arguments)
                inside += time.perf_counter() - begun
                return result

            with patch.object(data_parallel, "train_rung", timed):
                report = run_study(tiny(replicates, 0, epochs), f"{folder}/{turn}", device="cpu", workers=1)
            assert report.rungs == 6 * replicates
            found.append((report.seconds, inside))
    return found


def long_study(barrier: Barrier, replicates: int, epochs: int) -> tuple[float, float, list[float]]:
    """Run a long study of tiny ladders; return its seconds, those in rungs, and the memory in use on the way, in MB."""
    del barrier
    inside, used = 0.0, []

    def timed(*arguments: Any) -> Any:
        nonlocal inside
        begun = time.perf_counter()
        result = train_rung(*arguments)
        inside += time.perf_counter() - begun
        used.append(_resident())
        return result

    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, XDG_CACHE_HOME=f"{folder}/cache"):
        with patch.object(data_parallel, "train_rung", timed):
            report = run_study(tiny(replicates, 0, epochs), f"{folder}/store", device="cpu", workers=1)
        assert report.rungs == 6 * replicates
    return report.seconds, inside, used


def _resident() -> float:
    """Return the memory that this process uses now, in MB (Linux)."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize() / 2**20


def memory(barrier: Barrier, replicates: int, studies: int, epochs: int) -> list[float]:
    """Run studies of tiny ladders one after another; return the most memory used until each one's end, in MB."""
    del barrier
    found = []
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, XDG_CACHE_HOME=f"{folder}/cache"):
        for seed in range(studies):
            run_study(tiny(replicates, seed, epochs), Store(f"{folder}/{seed}", create=True), device="cpu", workers=1)
            found.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return found
