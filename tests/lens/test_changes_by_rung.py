"""Change of training loss by fifths of EL2N, rung by rung, against numbers done by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prunescope.lens import analyze, paper_tables
from prunescope.report.figures.el2n import rung_changes
from prunescope.study import Ladder, Treatment
from tests.lens.planted import IMP, PLAIN, Plant, plain_figures, plain_losses, study

EXTENDED = Treatment(kind="extended")


def test_each_fifth_has_its_change_at_every_rung_of_pruning_and_of_extended_training(tmp_path: Path) -> None:
    planted = study(IMP, EXTENDED, Treatment(kind="narrow"))
    (cell,) = analyze(PLAIN.into(tmp_path / "store", planted)).cells
    changes = {(change.treatment, change.rung): change for change in cell.changes_by_rung}
    assert list(changes) == [(name, rung) for name in ("imp learning-rate", "extended") for rung in (1, 2, 3)]
    for (name, rung), change in changes.items():
        # Rung r takes 0.1 r off, of the last fifth 0.4 r, times 1, 1.1 and 1.2 in the replicates.
        means = [verdict.mean for verdict in change.fifths]
        assert means == pytest.approx([-0.11 * rung] * 4 + [-0.44 * rung], rel=1e-5)
        deviations = [verdict.deviation for verdict in change.fifths]
        assert deviations == pytest.approx([0.01 * rung] * 4 + [0.04 * rung], rel=1e-4)
        assert change.density == pytest.approx(0.8**rung if name.startswith("imp") else 1.0)
    figure = rung_changes([cell])
    assert figure is not None
    assert [point.fifth for point in figure.points[:5]] == [f"{low} to {low + 20}" for low in (0, 20, 40, 60, 80)]
    last = figure.points[14]
    assert (last.rung, last.panel) == (3, "noise 0, imp learning-rate")
    assert (last.low, last.high) == pytest.approx((-1.32 - 0.12, -1.32 + 0.12), rel=1e-4)
    for panel in figure.draw():
        assert panel.chart.to_dict(validate=True)


def test_rungs_without_outcomes_are_left_out_and_a_single_rung_is_no_figure(tmp_path: Path) -> None:
    def some(ladder: Ladder, number: int) -> np.ndarray | None:
        return plain_losses(ladder, number) if number in (0, 2) else None

    (cell,) = analyze(Plant(plain_figures, some).into(tmp_path / "store", study(IMP))).cells
    assert [change.rung for change in cell.changes_by_rung] == [2]
    assert rung_changes([cell]) is None
    (bare,) = analyze(
        Plant(plain_figures, plain_losses, scored=lambda ladder: False).into(tmp_path / "b", study(IMP))
    ).cells
    assert bare.changes_by_rung == ()


def test_the_table_of_training_losses_has_the_changes(tmp_path: Path) -> None:
    result = analyze(PLAIN.into(tmp_path / "store", study(IMP, EXTENDED)))
    table = next(table for table in paper_tables(result) if table.slug == "training-loss")
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    dense, *sparse = rows[:4]
    assert dense["change_el2n_0_to_20"] is None
    assert [row["change_el2n_80_to_100"] for row in sparse] == pytest.approx([-0.44, -0.88, -1.32], rel=1e-5)
    assert [row["change_el2n_0_to_20_deviation"] for row in sparse] == pytest.approx([0.01, 0.02, 0.03], rel=1e-4)
