"""Two processes that train each network together, beside one process with both cores: seconds of a rung, in turns.

Both compute the same numbers to rounding. What starting the second process takes is left out: it is paid once a run.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.clock import Figure
from prunescope.data import read_datasets
from prunescope.run import run_study
from prunescope.run.events import Event, RungFinished
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.study import Study
from prunescope.study.sections import Axes, Recipe, Treatment

TURNS, EXAMPLES = 3, 256
NETWORKS = {
    "ResNet-20, pictures 32x32, batch 128": ("cifar-resnet", 20, 1.0),
    "at width 1/4": ("cifar-resnet", 20, 0.25),
}


def measure() -> Iterator[Figure]:
    """Measure each network in turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rng = np.random.default_rng(0)
        pictures, labels = (
            rng.integers(0, 256, (EXAMPLES + 64, 3, 32, 32), dtype=np.uint8),
            np.arange(EXAMPLES + 64) % 10,
        )
        first, last = slice(0, EXAMPLES), slice(EXAMPLES, None)
        np.savez(
            folder / "pictures.npz",
            train_images=pictures[first],
            train_labels=labels[first],
            test_images=pictures[last],
            test_labels=labels[last],
        )
        with patch.dict(os.environ, XDG_CACHE_HOME=f"{name}/cache"):
            for words, (family, depth, width) in NETWORKS.items():
                study = _study(folder, family, depth, width)
                turns = [(_seconds(study, 1, 2), _seconds(study, 2, 1)) for _ in range(TURNS)]
                yield f"two processes beside one with two threads: {words}", "times", [two / one for one, two in turns]
                yield f"a rung in one process: {words}", "s", [one for one, _ in turns]


def _study(folder: Path, family: str, depth: int, width: float) -> Study:
    axes = Axes(dataset=("pictures.npz",), family=(family,), depth=(depth,), width=(width,))
    recipe = Recipe(epochs=1, batch=128, learning_rate=0.01, momentum=0.9, levels=0)
    study = Study("processes", (axes,), recipe, (Treatment(kind="dense"),), replicates=1, home=folder)
    return read_datasets(study)[0]


def _seconds(study: Study, processes: int, threads: int) -> float:
    """Return the seconds of the one rung of a study."""
    seconds: list[float] = []

    def on_event(event: Event) -> None:
        if isinstance(event, RungFinished):
            seconds.append(event.seconds)

    tuning = CohortSettings(1, threads, 1, 1, 1e-3)
    with patch.object(TuningCache, "of_machine", lambda *_: tuning), tempfile.TemporaryDirectory() as store:
        report = run_study(study, store, device="cpu", workers=1, data_parallel=processes, on_event=on_event)
    assert not report.is_incomplete, report
    return seconds[0]
