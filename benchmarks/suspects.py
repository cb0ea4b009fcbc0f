"""How many of the labels most likely to be wrong are wrong, on digits and MNIST with planted noise.

python -m benchmarks suspects      PRUNESCOPE_DATA names the folder that has MNIST; without it the digits alone

Small studies are trained for it: EL2N by ten networks, and pruning with learning-rate and with weight rewinding until
the validation error has turned (`run --until-turned 3`). Each list is ranked by label suspicion, and by EL2N, dense
loss and sparse loss alone. A value is a replicate's share of wrong labels among the first 50, the first 500, and as
many as are wrong.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from prunescope.data import load
from prunescope.errors import PrunescopeError
from prunescope.lens import analyze, example_scores, precision_at
from prunescope.run import RunReport, run_study
from prunescope.run.until_turned import train_until_turned
from prunescope.study import Axes, El2n, Ladder, Recipe, Study, Treatment
from prunescope.table import Store

TREATMENTS = (
    Treatment(kind="imp", name="rates", rewind="learning-rate"),
    Treatment(kind="imp", name="weights", rewind="weights"),
)


def _study(dataset: str, width: float, noise: float, epochs: int, batch: int) -> Study:
    axes = Axes(dataset=(dataset,), family=("lenet",), depth=(3,), width=(width,), label_noise=(noise,))
    recipe = Recipe(epochs=epochs, batch=batch, learning_rate=0.1, levels=8, validation=0.1, prunable="all-but-output")
    el2n = El2n(epoch=min(3, epochs))
    return Study(f"suspects on {dataset}", (axes,), recipe, TREATMENTS, keep_examples="all", el2n=el2n)


STUDIES = (_study("digits", 0.3, 0.3, 12, 32), _study("mnist", 0.125, 0.15, 3, 128))


def measure() -> Iterator[tuple[str, str, list[float]]]:
    """Yield each precision over replicates."""
    for study in STUDIES:
        try:
            load(study.axes[0].dataset[0])
        except PrunescopeError as trouble:
            print(f"{study.name}: {trouble}")
            continue
        yield from _precisions(study)


def _precisions(study: Study) -> Iterator[tuple[str, str, list[float]]]:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store", create=True)

        def train(part: Study, ladders: Sequence[Ladder] | None) -> RunReport:
            return run_study(part, store, ladders=ladders, workers=1)

        ended = train_until_turned(study, store, 3, train)
        for failure in ended.report.failures:
            raise PrunescopeError(f"{failure.words}: {failure.reason}")
        for treatment in ("imp learning-rate", "imp weights"):
            (cell,) = analyze(store, treatment=treatment).cells
            density = f"{cell.optimal.density:.3g}" if cell.optimal else "none"
            for precision in cell.suspects.precisions if cell.suspects else ():
                name = f"{study.axes[0].dataset[0]}, {treatment.removeprefix('imp ')} to density {density}"
                name += f": {precision.by}, of {precision.count}"
                yield name, "%", [100 * value for value in precision.share.values]
            yield from _of_all(store, treatment, f"{study.axes[0].dataset[0]}, {treatment.removeprefix('imp ')}")


def _of_all(store: Store, treatment: str, what: str) -> Iterator[tuple[str, str, list[float]]]:
    """Yield how many of as many labels as are wrong are wrong, by each ranking."""
    rows = example_scores(store, treatment=treatment)
    replicates = rows["replicate"].astype(str)
    for column in ("suspicion", "el2n", "loss_dense", "loss_sparse"):
        shares = []
        for replicate in np.unique(replicates):
            there = replicates == replicate
            noisy = rows["noisy"][there].astype(bool)
            ranked = precision_at(int(noisy.sum()), noisy, rows[column][there], rows["index"][there])
            shares.append(100 * ranked)
        yield f"{what}: {column}, of as many as are wrong", "%", shares
