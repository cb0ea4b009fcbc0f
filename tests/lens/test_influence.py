"""Influence of groups by EL2N: changes of test error without each, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prunescope.lens.cells import CellRow, MeasuredNetwork, Measurements, Scorer, TreatmentSpec
from prunescope.lens.influence import measure_influence
from prunescope.lens.loading import LensSource
from prunescope.lens.store_contents import StudyIndex
from prunescope.lens.verdicts import spread_over
from prunescope.table import Store

NETWORK = MeasuredNetwork("lenet", "digits", 3, 0.1, 40, "recipe")
CHANGES = (0.001, -0.02, 0.005, 0.03)


def test_the_change_without_a_group_stands_beside_its_mean_el2n(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    scorer = Scorer("0" * 32, 2, 1)
    store.write_arrays("examples", scorer.identity, 0, {"index": np.arange(40), "el2n": np.arange(40) / 40})
    ladders = []
    for group, change in enumerate(CHANGES):
        identity = f"{group + 1}" * 32
        store.write_arrays("checkpoints", identity, 0, {"left_out": np.arange(10 * group, 10 * (group + 1))})
        treatment = TreatmentSpec("leave-out", leave="group")
        rows = (CellRow(0, 1.0, 0.2 + change),)
        ladders.append(Measurements(NETWORK, 0.0, treatment, "0", rows, identity, scorers=(scorer,)))
    source = LensSource("planted", tuple(ladders), store, StudyIndex(None), ())
    influence = measure_influence(source, ladders, spread_over(["0"], [0.2]))
    assert influence is not None
    assert [group.el2n for group in influence.groups] == pytest.approx([4.5 / 40, 14.5 / 40, 24.5 / 40, 34.5 / 40])
    assert [group.change for group in influence.groups] == pytest.approx(CHANGES)
    assert influence.correlation == pytest.approx(0.8)  # ranks 1 3 2 4
    assert measure_influence(source, ladders, None) is None
    assert measure_influence(source, [], spread_over(["0"], [0.2])) is None
