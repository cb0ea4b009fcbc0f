"""How a shape of network trains fastest here: members in a cohort, threads, layout. Found by a short measurement.

What was found is remembered: in the store, so that a run that goes on does so as it began, and for this machine, so
that a second run of a study gives the same rows as the first. For fully connected networks the choice changes nothing
but time; sums of convolutions may be rounded differently from one layout to another.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from prunescope.nets.cohort import Layout
from prunescope.spec.study import digest
from prunescope.table import Store
from prunescope.train import Bench

FORMAT = 2
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
ENOUGH = 0.05  # seconds of steps for one figure, or this many steps
STEPS = 12
GAIN = 0.93  # a larger cohort must take at most this share of the time for each member
MEMORY = 2**31  # bytes that a cohort's tensors may take


@dataclass(frozen=True)
class Choice:
    """How cohorts of one shape are trained.

    Attributes
    ----------
    seconds
        One step of one member took this long when it was measured.
    """

    members: int
    threads: int
    together: int
    pack: int
    seconds: float

    @property
    def layout(self) -> Layout:
        """The part that says how a cohort is computed."""
        return Layout(self.together, self.pack)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with a number of threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def member_bytes(bench: Bench) -> int:
    """Estimate the memory that one member takes in training: weights four times over, activations there and back."""
    outline = bench.network.outline
    copies = 6 if bench.recipe.optimizer == "adam" else 5
    inputs = int(np.prod(bench.dataset.shape))
    return 4 * (copies * outline.total + bench.recipe.batch * (inputs + 3 * outline.activations))


def choose(bench: Bench, ladders: int, cores: int) -> Choice:
    """Measure how up to ``ladders`` members of one shape are trained fastest with ``cores`` cores.

    A thread less for each cohort is a cohort more at a time, so what counts is seconds times threads.
    """
    most = max(1, min(ladders, MEMORY // member_bytes(bench)))
    sizes = sorted({size for size in SIZES if size <= most} | ({most} if most <= SIZES[-1] else set()))
    best: Choice | None = None
    on_cpu = bench.device.type == "cpu"
    for count in sorted({1, cores}) if on_cpu else (torch.get_num_threads(),):
        with threads(count):
            found = _best_size(bench, sizes, count)
        if best is None or found.seconds * (count if on_cpu else 1) < GAIN * best.seconds * (
            best.threads if on_cpu else 1
        ):
            best = found
    assert best is not None  # noqa: S101 - one count at least was tried
    return best


def _best_size(bench: Bench, sizes: Iterable[int], count: int) -> Choice:
    best: Choice | None = None
    worse = 0
    for size in sizes:
        found = min(
            (
                Choice(size, count, each.together, each.pack, _seconds(bench, size, each))
                for each in _layouts(bench, size)
            ),
            key=lambda choice: choice.seconds,
        )
        if best is None or found.seconds < GAIN * best.seconds:
            best, worse = found, 0
        else:
            worse += 1
            if worse == 2:
                break
    assert best is not None  # noqa: S101 - there is a size
    return best


def _layouts(bench: Bench, size: int) -> list[Layout]:
    if not bench.network.pictures:
        return [Layout(size, 1)]
    found = [Layout(1, 1)]
    if size > 1:
        found += [Layout(size, 1), Layout(size, min(size, 8))]
    return found


def _seconds(bench: Bench, size: int, layout: Layout) -> float:
    """Return the seconds that a step takes for each of ``size`` members, on the first examples of the data."""
    trial = replace(bench, layout=layout)
    chance = np.random.default_rng(0)
    start = trial.stacked([trial.network.start(chance) for _ in range(size)])
    engine = trial.engine(start, {})
    batch = min(bench.recipe.batch, len(trial.train_pictures))
    places = torch.arange(size * batch, device=bench.device).view(size, batch) % len(trial.train_pictures)
    source = trial.train_pictures.of(places)
    order = torch.arange(batch, device=bench.device).expand(size, -1)
    labels = torch.from_numpy(np.array(bench.dataset.train_labels)).to(bench.device)[places]

    def step() -> None:
        engine.step(source.take(order), labels, 1e-6)
        if bench.device.type == "cuda":
            torch.cuda.synchronize()

    step()
    times: list[float] = []
    while len(times) < 2 or (sum(times) < ENOUGH and len(times) < STEPS):
        clock = time.perf_counter()
        step()
        times.append(time.perf_counter() - clock)
    return min(times) / size


class Remembered:
    """Choices found before, for this machine, here and in a store."""

    def __init__(self, store: Store, device: str, cores: int) -> None:
        self._store = store
        name = torch.cuda.get_device_name() if device.startswith("cuda") else platform.processor() or platform.machine()
        self._machine = [FORMAT, name, cores, device, torch.__version__, platform.node()]

    def _name(self, key: str) -> str:
        return digest([*self._machine, key])

    def _home(self) -> Path:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "prunescope" / "layouts"

    def get(self, key: str) -> Choice | None:
        """Return what was found for a shape before."""
        kept = self._store.read_note(self._name(key))
        if kept is None:
            with suppress(OSError, ValueError):
                kept = json.loads((self._home() / f"{self._name(key)}.json").read_text())
        if not isinstance(kept, dict):
            return None
        try:
            return Choice(**{name: kept[name] for name in Choice.__dataclass_fields__})
        except KeyError:
            return None

    def put(self, key: str, choice: Choice) -> None:
        """Remember a choice; a home folder that cannot be written to is no fault."""
        self._store.write_note(self._name(key), asdict(choice))
        with suppress(OSError):
            self._home().mkdir(parents=True, exist_ok=True)
            draft = self._home() / f".{self._name(key)}.{os.getpid()}"
            draft.write_text(json.dumps(asdict(choice)))
            draft.replace(self._home() / f"{self._name(key)}.json")
