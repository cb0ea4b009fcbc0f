"""What workers gain: one study trained by one worker process and by two, and by one worker of a Dask cluster and two.

Goal: two workers on two cores need at most 0.6 of one worker's time. Processes start before the clock does where they
can: a run of nothing but their start is timed too.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.clock import Figure
from prunescope.run import run_study
from prunescope.run.cluster import Cluster
from prunescope.run.events import Event, RungFinished
from prunescope.study import Study
from prunescope.study.sections import Axes, Recipe

RUNS = 3


def made_up_study() -> Study:
    """Return a study that trains for some tens of seconds, in cohorts of one size."""
    axes = Axes(dataset=("digits",), family=("lenet",), depth=(3,), width=(0.2, 0.21, 0.22, 0.23), examples=(1200,))
    recipe = Recipe(epochs=30, batch=16, learning_rate=0.1, levels=4, rewind_epoch=1)
    return Study("workers", (axes,), recipe, replicates=8)


def training_seconds(study: Study, folder: Path, **options: Any) -> float:
    """Return the seconds from the first finished rung to the end, scaled to all rungs."""
    moments: list[tuple[float, int]] = []

    def on_event(event: Event) -> None:
        if isinstance(event, RungFinished):
            moments.append((time.perf_counter(), event.work))

    with tempfile.TemporaryDirectory(dir=folder) as store:
        assert not run_study(study, Path(store) / "store", on_event=on_event, **options).failures
    work = sum(work for _, work in moments)
    return (moments[-1][0] - moments[0][0]) * work / (work - moments[0][1])


def measure() -> Iterator[Figure]:
    """Measure in turn, so that what else the machine does disturbs both alike."""
    study = made_up_study()
    with tempfile.TemporaryDirectory() as name:
        folder, shares = Path(name), {"worker processes": list[float](), "Dask workers": list[float]()}
        for _ in range(RUNS):
            one, two = (training_seconds(study, folder, workers=count, device="cpu") for count in (1, 2))
            shares["worker processes"].append(two / one)
            seconds = []
            for count in (1, 2):
                path = folder / f"{count}.toml"
                path.write_text(f'[cluster]\nkind = "local"\nworkers = {count}\n')
                with Cluster(path) as cluster:
                    seconds.append(training_seconds(study, folder, cluster=cluster))
            shares["Dask workers"].append(seconds[1] / seconds[0])
        for who, values in shares.items():
            yield f"two {who}, of the time of one", "", values
