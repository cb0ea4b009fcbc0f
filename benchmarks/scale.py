"""What a run costs beside training: studies of 1,000 to 100,000 ladders, planned, scheduled, claimed and stored.

Training is simulated: a cohort's rungs are made up when its turn comes. All else is the run's own: one process, 100
sizes of network, two rungs a ladder, eight ladders a cohort, leases, rows flushed to the disk, shards packed.

python -m benchmarks scale                       1,000 and 10,000 ladders
python -m benchmarks.scale --ladders 100000      another number, once
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.builders import rung

from benchmarks.clock import Figure
from prunescope.run import run_study, study_run
from prunescope.run.events import CohortFinished, EventHandler, RungFinished, Written
from prunescope.run.task_runner import TaskRunner, TrainTask, TuneTask
from prunescope.run.tuning_cache import CohortSettings
from prunescope.study import Study
from prunescope.study.effort import effort
from prunescope.study.sections import Axes, Recipe
from prunescope.table import Store, status

SIZES, MEMBERS, RUNGS = 100, 8, 2


class Simulated(TaskRunner):
    """Trains nothing: rungs are made up."""

    def tune(self, task: TuneTask, on_event: EventHandler) -> CohortSettings:
        """Return settings that nothing was measured for."""
        return CohortSettings(MEMBERS, 1, MEMBERS, 1, 1e-4)

    def train(self, task: TrainTask, on_event: EventHandler) -> None:
        """Claim the ladders of a cohort and write made-up rungs."""
        cohort = task.cohort
        with self._store.claim_all(ladder.identity for ladder in cohort.ladders) as claim:
            held = claim.held()
            rows = [
                rung(0, number, study=self._settings.study, ladder=ladder.identity, replicate=ladder.replicate)
                | {"width": ladder.cell.width, "examples": ladder.cell.examples}
                for ladder in cohort.ladders
                if ladder.identity in held
                for number in range(RUNGS)
            ]
            written = self._store.write(rows)
            claim.got_on(held)
        for number in range(RUNGS):
            on_event(RungFinished(cohort.number, cohort.words, len(held), len(held), number, 0, 1.0, 0.1, 0.0))
        on_event(Written(cohort.number, written, written))
        on_event(CohortFinished(cohort.number))


def made_up_study(ladders: int) -> Study:
    """Return a study of so many ladders."""
    widths = tuple(round(0.02 + 0.001 * size, 4) for size in range(SIZES))
    axes = Axes(dataset=("digits",), family=("lenet",), depth=(3,), width=widths, examples=(400,))
    recipe = Recipe(epochs=1, batch=16, learning_rate=0.1, levels=RUNGS - 1)
    return Study("scale", (axes,), recipe, replicates=ladders // SIZES)


def measure_one(ladders: int) -> Iterator[Figure]:
    """Measure each step once, for a study of so many ladders."""
    unit = f"ms of the processor for each of {ladders:,} ladders"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"

        def timed(call: Callable[[], object]) -> list[float]:
            begun = time.process_time()
            call()
            return [(time.process_time() - begun) * 1e3 / ladders]

        yield "planned: ladders, identities, effort", unit, timed(lambda: effort(made_up_study(ladders).ladders))
        study, clock = made_up_study(ladders), time.perf_counter()
        yield "scheduled, claimed, stored", unit, timed(lambda: simulated(study, path))
        yield (
            "the same by the clock",
            f"ms for each of {ladders:,} ladders",
            [(time.perf_counter() - clock) * 1e3 / ladders],
        )
        yield "the same command when all is done", unit, timed(lambda: simulated(study, path))
        yield "status", unit, timed(lambda: status(Store(path)))
        yield "table", unit, timed(lambda: Store(path).table())
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        yield f"memory of that process, {ladders:,} ladders", "GB", [memory]


def simulated(study: Study, path: Path) -> None:
    """Run a study with simulated training."""
    names = vars(study_run)
    trained, names["TaskRunner"] = names["TaskRunner"], Simulated
    try:
        assert not run_study(study, path, workers=1).failures
    finally:
        names["TaskRunner"] = trained


def measure() -> Iterator[Figure]:
    """Measure what a quarter of an hour allows."""
    for ladders in (1_000, 10_000):
        yield from measure_one(ladders)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ladders", type=int, default=10_000)
    for figure, unit, values in measure_one(parser.parse_args().ladders):
        sys.stdout.write(f"{figure:60}{values[0]:9.3f}  {unit}\n")
        sys.stdout.flush()
