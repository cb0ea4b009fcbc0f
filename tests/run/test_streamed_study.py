"""A study on streamed pictures has the rows of one on pictures that are held: scores, noise, subsamples, leave-outs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prunescope.data import load, pack_dataset
from prunescope.nets.cohort import Layout
from prunescope.run import run_study
from prunescope.run.tune import step_seconds
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.study import El2n, Study, Treatment, ensembles
from prunescope.study.catalogue import DATASETS, DatasetFacts
from prunescope.study.sections import Axes, Recipe
from prunescope.table import Store
from prunescope.train import streamed_pictures
from tests.data.photographs import write_tiny
from tests.run.studies import rows
from tests.train.cohorts import training_context

CLASSES, PER_CLASS = 4, 12


def lens_study() -> Study:
    axes = Axes(
        dataset=("tinyimagenet",),
        family=("cifar-resnet",),
        depth=(8,),
        width=(0.0625,),
        examples=(30,),
        label_noise=(0.2,),
    )
    recipe = Recipe(
        epochs=2, batch=16, learning_rate=0.05, levels=1, validation=0.1, augment="flip-resized-crop", rewind_epoch=1
    )
    treatments = (
        Treatment(kind="imp"),
        Treatment(kind="leave-out", name="worsened", leave="worsened", learns_from="imp"),
        Treatment(kind="leave-out", name="random", leave="random", learns_from="imp"),
    )
    return Study("lens", (axes,), recipe, treatments, replicates=1, el2n=El2n(networks=2, epoch=1))


def test_streamed_pictures_give_the_rows_of_pictures_that_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TuningCache, "of_machine", lambda self, key: CohortSettings(2, 1, 2, 1, 1e-3))
    monkeypatch.setitem(DATASETS, "tinyimagenet", DatasetFacts(CLASSES * PER_CLASS, CLASSES, CLASSES, (3, 64, 64)))
    write_tiny(tmp_path / "folder" / "tiny-imagenet-200", PER_CLASS)
    pack_dataset("tinyimagenet", tmp_path / "folder", tmp_path)
    study, stores = lens_study(), []
    for data, bound in ((tmp_path / "folder", 10**9), (tmp_path, 0)):
        monkeypatch.setattr(streamed_pictures, "resident_bytes", lambda device, bound=bound: bound)
        stores.append(Store(tmp_path / f"store {bound}", create=True))
        report = run_study(study, stores[-1], data=data, workers=1)
        assert (report.failures, report.scored) == ([], 1)
        assert (report.waited > 0) == (bound == 0)
    held, streamed = stores
    assert rows(held) == rows(streamed)
    assert len(rows(held)) == sum(ladder.rungs for ladder in study.ladders)
    (ensemble,) = ensembles(study)
    for name, values in held.read_arrays("examples", ensemble.identity, 0).items():
        assert np.array_equal(values, streamed.read_arrays("examples", ensemble.identity, 0)[name])
    context = replace(training_context("cifar-resnet", 8, 1 / 16, load("tinyimagenet", tmp_path)), most_resident=0)
    assert step_seconds(context.with_layout(Layout(2, 1)), 2) > 0, (
        "what trains fastest is measured on streamed pictures, too"
    )
