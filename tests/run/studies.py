"""Studies small enough to train in a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from prunescope.run import run_study
from prunescope.study import Study, effort
from prunescope.study.sections import Axes, Recipe, Treatment
from prunescope.table import Store
from prunescope.table.schema import CIRCUMSTANCES, STORED_NAMES


def dense_study(
    replicates: int = 3, levels: int = 3, widths: tuple[float, ...] = (0.04, 0.08), **changes: Any
) -> Study:
    """Two shapes of a small LeNet on a third of the digits."""
    axes = Axes(dataset=("digits",), family=("lenet",), depth=(3,), width=widths, examples=(400,))
    recipe = Recipe(**{"epochs": 2, "batch": 16, "learning_rate": 0.1, "levels": levels, "rewind_epoch": 1, **changes})
    return Study("dense", (axes,), recipe, replicates=replicates)


def endless_study() -> Study:
    """A study that is far from its end when its first rung is written, however busy the machine is."""
    return dense_study(levels=200, epochs=30, pruning_fraction=0.005)


def mixed_study(**changes: Any) -> Study:
    """Convolutions, several treatments and levels of label noise, moved pictures, a validation split."""
    axes = Axes(
        dataset=("digits",),
        family=("cifar-resnet",),
        depth=(8,),
        width=(0.0625,),
        examples=(64,),
        label_noise=(0.0, 0.25),
    )
    recipe = Recipe(
        **{
            "epochs": 3,
            "batch": 32,
            "learning_rate": 0.05,
            "momentum": 0.9,
            "weight_decay": 1e-4,
            "augment": "flip-crop",
            "validation": 0.1,
            "schedule": "steps",
            "milestones": (2,),
            "rewind_epoch": 1,
            "levels": 2,
            **changes,
        }
    )
    treatments = (
        Treatment(kind="imp", name="weights"),
        Treatment(kind="imp", name="rates", rewind="learning-rate"),
        Treatment(kind="one-shot"),
        Treatment(kind="extended"),
    )
    return Study("mixed", (axes,), recipe, treatments, replicates=2)


def narrow_study(levels: int = 3, kind: str = "narrow", width: float = 0.1, **changes: Any) -> Study:
    """Networks that grow narrower, with and without label noise; or dense ones of one width."""
    axes = Axes(
        dataset=("digits",), family=("lenet",), depth=(3,), width=(width,), examples=(200,), label_noise=(0.0, 0.2)
    )
    recipe = Recipe(**{"epochs": 2, "batch": 16, "learning_rate": 0.1, "levels": levels, "rewind_epoch": 1, **changes})
    return Study("narrow", (axes,), recipe, (Treatment.model_validate({"kind": kind}),), replicates=2)


PUPILS = (
    Treatment(kind="leave-out", name="improved", learns_from="imp", share=0.3),
    Treatment(kind="leave-out", name="wrong", learns_from="imp", leave="misclassified"),
    Treatment(kind="leave-out", name="any", learns_from="imp", leave="random", share=0.3),
)


def lesson_study(*treatments: Treatment, replicates: int = 2, **changes: Any) -> Study:
    """Pruned networks, some of whose training labels are noise, and dense ones that learn from them."""
    axes = Axes(
        dataset=("digits",), family=("lenet",), depth=(3,), width=(0.06,), examples=(200,), label_noise=(0.0, 0.3)
    )
    settings = {"epochs": 4, "batch": 16, "learning_rate": 0.2, "levels": 3, "validation": 0.1}
    pupils = treatments or PUPILS
    return Study("lessons", (axes,), Recipe(**settings | changes), (*pupils, Treatment(kind="imp")), replicates)


def wide_alone(depth: int, width: float, classes: int) -> object:
    """Make no network below width 1."""
    from torch import nn

    if width < 1:
        raise ValueError("too narrow")
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))


def rows(store: Store) -> dict[tuple[str, int], tuple[object, ...]]:
    """Return what was measured by ladder and rung: everything but when, where and for whom."""
    table = store.table()
    names = [name for name in STORED_NAMES if name not in CIRCUMSTANCES]
    columns = [table[name].tolist() for name in names]

    def plain(value: object) -> object:
        return None if isinstance(value, float) and np.isnan(value) else value

    by_rung = {}
    for values in zip(*columns, strict=True):
        ladder, rung = values[names.index("ladder")], values[names.index("rung")]
        by_rung[ladder, rung] = tuple(map(plain, values))
    return by_rung


def children(parent: int) -> list[int]:
    """Return the processes that a process has started and that have not ended."""
    pids = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, own_parent = entry.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(own_parent) == parent and state != "Z":
            pids.append(int(entry.parent.name))
    return pids


def trained(study: Study, path: Path, workers: int = 1) -> Store:
    """Return the store of a study that was trained without a break."""
    report = run_study(study, path, workers=workers)
    assert not report.failures
    assert report.rungs == sum(ladder.rungs for ladder in study.ladders)
    assert report.networks == effort(study.ladders).networks
    return Store(path)
