"""A plain loop with a recorder against the lab: the same masks, counts and errors, and losses to rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prunescope.table import Store, read_table
from tests.nets.modules import plain
from tests.record.loops import climb_as_the_lab, recorder_of
from tests.train.cohorts import climbed, ladder, pictures

RECIPE: dict[str, Any] = {
    "epochs": 3,
    "rewind_epoch": 1,
    "schedule": "steps",
    "milestones": (2,),
    "momentum": 0.9,
    "levels": 4,
}
EXACT = (
    "density",
    "kept",
    "prunable",
    "parameters",
    "epochs",
    "test_error",
    "train_error",
    "rung",
    "replicate",
    "examples",
)
LOSSES = ("test_loss", "train_loss")


@pytest.mark.parametrize(
    ("family", "treatment", "changes"),
    [
        ("lenet", {}, {}),
        ("cifar-resnet", {}, {}),
        ("lenet", {}, {"rewind_epoch": 0}),
        ("cifar-resnet", {"rewind": "learning-rate"}, {}),
        ("lenet", {"rewind": "learning-rate", "scope": "layer"}, {"prunable": "all-but-output"}),
        ("lenet", {"rewind": "fine-tuning"}, {"pruning_fraction": 0.4}),
        ("cifar-resnet", {"rewind": "reinitialise"}, {}),
        ("lenet", {"score": "random"}, {}),
        ("cifar-resnet", {"kind": "one-shot"}, {}),
        ("lenet", {"kind": "one-shot", "rewind": "learning-rate"}, {}),
        ("cifar-resnet", {"kind": "extended"}, {}),
        ("lenet", {"kind": "dense"}, {}),
    ],
)
def test_a_loop_of_ones_own_records_the_rows_of_the_lab(
    tmp_path: Path, family: str, treatment: dict[str, Any], changes: dict[str, Any]
) -> None:
    depth, width = (8, 1 / 16) if family == "cifar-resnet" else (3, 0.05)
    trained, data = ladder(family, depth, width, treatment=treatment, **RECIPE | changes), pictures()
    wanted = climbed([trained], data, tmp_path / "lab")[trained.identity]
    recorder = recorder_of(trained, tmp_path / "own")
    climb_as_the_lab(recorder, trained, data)
    rows = sorted(read_table(tmp_path / "own").rows(), key=lambda row: row["rung"])
    assert len(rows) == len(wanted) == trained.rungs
    for row, rung in zip(rows, wanted, strict=True):
        assert {name: row[name] for name in EXACT} == pytest.approx({name: rung.row[name] for name in EXACT}, abs=1e-12)
        np.testing.assert_allclose([row[name] for name in LOSSES], [rung.row[name] for name in LOSSES], rtol=1e-6)
    model = plain(family, data.shape, depth, width, data.classes)
    for number in range(1, trained.rungs):
        masks = recorder.masks(number, model)
        for name, mask in wanted[number - 1].left.masks.by_name().items():
            assert np.array_equal(masks[name], mask)
    examples = Store(tmp_path / "own").read_arrays("examples", recorder.identity, 0)
    assert examples["loss"].mean() == pytest.approx(wanted[0].row["train_loss"], rel=1e-5)
