"""How a shape of network trains fastest here: members, threads, layout, sparse steps. Found by a short measurement.

Sums may be rounded differently in another cohort or layout, so what was found is remembered (`tuning_cache`).
Measuring takes a twentieth of the training that it is for, at most. Members of our own families gain much from each
other's company where they are small, so theirs is a second if that is longer; a user's modules gain little.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch

from prunescope.nets import Designed
from prunescope.nets.cohort import Layout
from prunescope.nets.custom import Custom
from prunescope.nets.kernels import kernels
from prunescope.run.estimate import SPARSE_GAIN, cohort_bytes, member_bytes
from prunescope.run.tuning_cache import CohortSettings
from prunescope.train import TrainingContext

SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
ENOUGH = 0.05  # seconds of steps for one figure, or this many steps
STEPS, LEAST_STEPS = 12, 2
SHARE, LEAST_SECONDS = 1 / 20, 1.0  # of the training that is measured for; in any case, where company helps most
GAIN = 0.93  # more threads must take at most this share of the core time
SPARSE_SHARES = (0.1, 0.5)  # of the weights, at which sparse steps are measured
SPARSE_MEMBERS = 8  # are enough to measure with
SPARSE_WORTH_TRYING = 20_000  # multiplications for one example; below, calls take longer than products
NEAR = 1.05  # the largest cohort that is this near to the best is taken: fewer cohorts, less between them


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with a number of threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Budget:
    """The core seconds that measuring may take, from what a step took so far.

    Parameters
    ----------
    steps
        Of all members together, that the measurement is for; None where it may take as long as it likes.
    least
        Seconds that it may take in any case.
    """

    def __init__(self, steps: float | None, least: float) -> None:
        self._steps = math.inf if steps is None else steps
        self._least = least
        self._spent, self._step = 0.0, 0.0
        self._clock = time.perf_counter()

    def allows(self, size: int) -> bool:
        """Whether another size may be tried; the first is always."""
        most = max(self._least, SHARE * self._steps * self._step)
        return not self._step or self._spent + (1 + LEAST_STEPS) * size * self._step <= most

    def note(self, seconds: float, count: int) -> None:
        """Take note of a figure: seconds of a member's step with a number of threads."""
        now = time.perf_counter()
        self._spent += (now - self._clock) * count
        self._clock = now
        self._step = min(self._step or math.inf, seconds * count)


def choose(
    context: TrainingContext, ladders: int, cores: int, steps: float | None = None, alone: bool = True
) -> CohortSettings:
    """Measure how up to ``ladders`` members of one shape are trained fastest with ``cores`` cores.

    A thread less for each cohort is a cohort more at a time, so what counts is seconds times threads.

    Parameters
    ----------
    steps
        How many steps all of them will take, which bounds the time that is spent on measuring.
    alone
        Whether this process trains without others that share its batches: some ways of computing need that.
    """
    most = max(1, min(ladders, cohort_bytes() // member_bytes(context.network.outline, context.recipe)))
    sizes = sorted({size for size in SIZES if size <= most} | ({most} if most <= SIZES[-1] else set()))
    if isinstance(context.network, Custom) and not (context.network.together and alone):
        sizes = [1]  # its members are computed one by one, whatever their company
    budget = _Budget(steps, LEAST_SECONDS if isinstance(context.network, Designed) else 0.0)
    best: CohortSettings | None = None
    on_cpu = context.device.type == "cpu"
    for count in sorted({1, cores}) if on_cpu else (torch.get_num_threads(),):
        with threads(count):
            best_of_count = _best_size(context, sizes, count, budget, alone)
        if best is None or (
            best_of_count is not None
            and best_of_count.seconds * (count if on_cpu else 1) < GAIN * best.seconds * (best.threads if on_cpu else 1)
        ):
            best = best_of_count
    assert best is not None  # noqa: S101 - one count at least was tried
    with threads(best.threads):
        sparse_below = _sparse_below(context, min(best.members, SPARSE_MEMBERS), steps) if alone else 0.0
        return replace(best, sparse_below=sparse_below)


def _sparse_below(context: TrainingContext, size: int, steps: float | None) -> float:
    """Measure below which share of kept weights sparse steps pay; 0 where they never do, or the work is too short.

    What a sparse step takes grows with the share in a line, through two points that are measured.
    """
    small = context.network.outline.multiplications < SPARSE_WORTH_TRYING
    short = steps is not None and SHARE * steps < (1 + len(SPARSE_SHARES)) * (1 + LEAST_STEPS) * size
    if small or short or context.sparse_kernels is None:
        return 0.0
    (low, high), trial = SPARSE_SHARES, context.with_sparse_below(1.0)
    goal = SPARSE_GAIN * step_seconds(context, size)
    at_low, at_high = step_seconds(trial, size, low), step_seconds(trial, size, high)
    slope = (at_high - at_low) / (high - low)
    if slope <= 0:
        return 1.0 if at_high < goal else 0.0
    return min(1.0, max(0.0, low + (goal - at_low) / slope))


def _best_size(
    context: TrainingContext, sizes: Iterable[int], count: int, budget: _Budget, alone: bool
) -> CohortSettings | None:
    """Measure growing sizes until they have become worse twice, or take too long; None where nothing was measured."""
    tunings: list[CohortSettings] = []
    for size in sizes:
        tried: list[CohortSettings] = []
        for layout in _layouts(size, context, alone):
            if not budget.allows(size):
                break
            seconds = step_seconds(context.with_layout(layout), size)
            budget.note(seconds, count)
            tried.append(CohortSettings(size, count, layout.together, layout.pack, seconds, layout.planar))
        if not tried:
            break
        tunings.append(min(tried, key=_pace))
        if len(tunings) > 2 and all(_pace(tuning) > NEAR * min(map(_pace, tunings)) for tuning in tunings[-2:]):
            break
    if not tunings:
        return None
    best = min(map(_pace, tunings))
    return next(tuning for tuning in reversed(tunings) if _pace(tuning) <= NEAR * best)


def _pace(tuning: CohortSettings) -> float:
    return tuning.seconds


def _layouts(size: int, context: TrainingContext, alone: bool) -> list[Layout]:
    if not context.network.pictures or isinstance(context.network, Custom):  # a user's modules have no groups
        return [Layout(size, 1)]
    layouts = [Layout(1, 1)]
    if size > 1:
        layouts += [Layout(size, 1), Layout(size, min(size, 8))]
    can_be = alone and context.device.type == "cpu" and context.recipe.precision == "float32"
    compiled = kernels(context.dtype) if can_be else None
    if compiled is not None and isinstance(context.network, Designed):
        layouts += [Layout(count, planar=True) for count in sorted({1, min(size, compiled.lanes)})]
    return layouts


def step_seconds(context: TrainingContext, size: int, share: float | None = None) -> float:
    """Return the seconds that a step takes for each of ``size`` members, on the first examples of the data.

    Parameters
    ----------
    share
        Of the weights that are kept, of each matrix; all where not given.
    """
    # Numbers do not change the time, and drawing them takes a user's factory longer than a step.
    chance = np.random.default_rng(0)
    start = context.stacked([context.network.start(chance)] * size)
    masks = {}
    if share is not None:
        matrices = {item.name: (size, *item.shape) for item in context.network.outline.parameters if item.matrix}
        masks = {
            name: torch.from_numpy(chance.random(shape) < share).to(start[name]) for name, shape in matrices.items()
        }
    engine = context.engine(start, masks)
    batch = min(context.recipe.batch, len(context.train_pictures))
    places = torch.arange(size * batch, device=context.device).view(size, batch) % len(context.train_pictures)
    source = engine.examples(context.train_pictures, places)
    order = torch.arange(batch, device=context.device).expand(size, -1)
    labels = torch.from_numpy(np.array(context.dataset.train_labels)).to(context.device)[places]

    def step() -> None:
        engine.step(source.take(order), labels, 1e-6)
        if context.device.type == "cuda":
            torch.cuda.synchronize()

    step()
    times: list[float] = []
    while len(times) < LEAST_STEPS or (sum(times) < ENOUGH and len(times) < STEPS):
        clock = time.perf_counter()
        step()
        times.append(time.perf_counter() - clock)
    return min(times) / size
