"""Other treatments beside pruning: rung by rung, by size, at the best of each; examples left out beside chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prunescope.lens import LensResult, TreatmentOutcome, analyze, paper_tables
from prunescope.lens.analysis import CellResult
from prunescope.study import Ladder, Study, Treatment
from prunescope.table import Store
from tests.lens.planted import IMP, PLAIN, Figures, Plant, row, study

TREATMENTS = (
    IMP,
    Treatment(kind="extended"),
    Treatment(kind="narrow"),
    Treatment(kind="imp", name="weights"),
    Treatment(kind="imp", name="chance", rewind="learning-rate", score="random"),
    Treatment(kind="leave-out", name="improved", learns_from="imp"),
    Treatment(kind="leave-out", name="any", learns_from="imp", leave="random"),
    Treatment(kind="leave-out", name="half", learns_from="imp", leave="random", share=0.5),
    Treatment(kind="leave-out", name="wrong", learns_from="imp", leave="misclassified"),
)
# What each treatment adds to the error of pruning at the same rung, and how much that moves with the replicate.
ADDS = {"extended": 0.01, "narrow": 0.03, "imp weights": -0.02, "imp learning-rate random": 0.05}
LEAVES = {("improved", 0.2): 0.06, ("random", 0.2): 0.02, ("random", 0.5): 0.09, ("misclassified", None): -0.04}
COUNTS = {("improved", 0.2): 8, ("random", 0.2): 8, ("random", 0.5): 20, ("misclassified", None): 5}
PRUNED = (0.20, 0.15, 0.17, 0.25)


def figures(ladder: Ladder, number: int) -> Figures:
    treatment = ladder.treatment
    if treatment.kind == "leave-out":
        added = LEAVES[treatment.leave or "", treatment.share]
    else:
        name = (
            treatment.kind
            if treatment.kind != "imp"
            else f"imp {treatment.rewind}{' random' if treatment.score == 'random' else ''}"
        )
        added = ADDS.get(name, 0.0) if number else 0.0
    error = PRUNED[number] + added * (1 + 0.1 * ladder.replicate) + 0.01 * ladder.replicate
    return {"test_error": error, "validation_error": error, "train_loss": 0.5}


def planted(path: Path, study: Study) -> Store:
    store = Plant(figures).into(path, study)
    for ladder in study.ladders:
        if ladder.treatment.kind == "leave-out":
            count = COUNTS[ladder.treatment.leave or "", ladder.treatment.share]
            store.write_arrays("checkpoints", ladder.identity, 0, {"left_out": np.arange(count)})
    return store


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> CellResult:
    (result,) = analyze(planted(tmp_path_factory.mktemp("beside") / "store", study(*TREATMENTS, el2n=False))).cells
    return result


def test_extended_training_is_compared_rung_by_rung_and_at_its_best(cell: CellResult) -> None:
    assert cell.extended is not None
    assert [(match.rung, match.pruned_rung) for match in cell.extended.matches] == [(1, 1), (2, 2), (3, 3)]
    for match in cell.extended.matches:
        assert match.difference.differences == pytest.approx((0.01, 0.011, 0.012))
        assert match.difference.outcome is TreatmentOutcome.WORSE
    assert cell.extended.best is not None
    assert cell.extended.best.mean == pytest.approx(0.011)
    assert [point.epochs for point in cell.extended.curve.points] == [4, 8, 12, 16]
    assert cell.extended.words.endswith("rung by rung worse at 3 of 3")


def test_narrow_networks_are_matched_by_parameters(cell: CellResult) -> None:
    assert cell.narrow is not None
    # 0.64 of the weights is rung 2 of pruning; 0.41 and 0.26 are below its last rung, 0.512.
    assert [(match.rung, match.pruned_rung) for match in cell.narrow.matches] == [(1, 2)]
    assert cell.narrow.matches[0].difference.differences == pytest.approx(
        tuple(0.15 + 0.03 * (1 + 0.1 * rung) - 0.17 for rung in range(3))
    )
    assert [point.width for point in cell.narrow.curve.points] == pytest.approx([0.1, 0.08, 0.064, 0.0512])
    assert [point.epochs for point in cell.narrow.curve.points] == [4, 4, 4, 4]
    assert cell.narrow.curve.at(1).density == 1


def test_other_rewinds_and_scores_are_ablations(cell: CellResult) -> None:
    assert cell.pruning.treatment == "imp learning-rate"
    ablations = {comparison.curve.treatment: comparison for comparison in cell.ablations}
    assert set(ablations) == {"imp weights", "imp learning-rate random"}
    best = {name: comparison.best.outcome for name, comparison in ablations.items() if comparison.best}
    assert best == {"imp weights": TreatmentOutcome.BETTER, "imp learning-rate random": TreatmentOutcome.WORSE}
    assert [match.rung for match in ablations["imp weights"].matches] == [1, 2, 3]


def test_what_is_left_out_is_compared_with_its_teacher_and_with_as_many_at_random(cell: CellResult) -> None:
    leave_outs = {(leave_out.leave, leave_out.share): leave_out for leave_out in cell.leave_outs}
    assert set(leave_outs) == set(LEAVES)
    improved = leave_outs["improved", 0.2]
    assert improved.treatment == "leave-out improved 0.2 by imp learning-rate"
    assert improved.count is not None
    assert improved.count.values == (8.0, 8.0, 8.0)
    assert improved.against_dense is not None
    assert improved.against_dense.differences == pytest.approx((0.06, 0.066, 0.072))
    assert improved.against_sparse is not None
    assert improved.against_sparse.differences == pytest.approx((0.11, 0.116, 0.122))
    assert improved.against_random is not None
    assert improved.against_random.differences == pytest.approx((0.04, 0.044, 0.048))
    wrong = leave_outs["misclassified", None]
    assert wrong.against_random is None
    assert wrong.against_dense is not None
    assert wrong.against_dense.outcome is TreatmentOutcome.BETTER


def test_a_table_has_what_networks_do_without_some_examples(cell: CellResult) -> None:
    (table,) = (table for table in paper_tables(LensResult("", (cell,), ())) if table.slug == "leave-outs")
    rows = [dict(zip(table.columns, values, strict=True)) for values in table.rows]
    assert [(row["leave"], row["left_out"]) for row in rows] == [
        (item.leave, None if item.count is None else item.count.mean) for item in cell.leave_outs
    ]
    improved = next(row for row in rows if row["leave"] == "improved")
    wanted = {"against_dense": 6.6, "against_sparse": 11.6, "against_random": 4.4, "against_random_deviation": 0.4}
    assert {name: improved[name] for name in wanted} == pytest.approx(wanted)
    assert next(row for row in rows if row["leave"] == "misclassified")["against_random"] is None


def test_what_is_worse_than_pruning_is_said_in_practice(cell: CellResult) -> None:
    assert "training as long without pruning is worse than pruning (+1.1 ± 0.1 points)" in cell.diagnosis.practice
    assert any(
        sentence.startswith("a narrower network from the start is worse") for sentence in cell.diagnosis.practice
    )


def test_what_does_better_is_said_even_where_pruning_gains_nothing(tmp_path: Path) -> None:
    def worse(ladder: Ladder, number: int) -> Figures:
        added = {"imp": 0.05, "extended": 0.06, "narrow": -0.05}[ladder.treatment.kind] if number else 0.0
        error = 0.2 + added * (1 + 0.1 * ladder.replicate)
        return {"test_error": error, "validation_error": error}

    plain = study(IMP, TREATMENTS[1], TREATMENTS[2], el2n=False)
    (cell,) = analyze(Plant(worse).into(tmp_path / "store", plain)).cells
    assert cell.diagnosis.practice == (
        "for test error alone keep the dense network; prune only for size",
        "a narrower network from the start does better than pruning (-11 ± 1 points)",
    )


def test_the_treatment_asked_for_is_the_main_one(tmp_path: Path) -> None:
    store = planted(tmp_path / "store", study(*TREATMENTS, el2n=False))
    (cell,) = analyze(store, treatment="imp weights").cells
    assert cell.pruning.treatment == "imp weights"
    assert {comparison.curve.treatment for comparison in cell.ablations} == {
        "imp learning-rate",
        "imp learning-rate random",
    }


def test_leave_out_ladders_that_learned_again_from_more_levels_count(tmp_path: Path) -> None:
    pupils = (IMP, TREATMENTS[5])
    few, many = study(*pupils, levels=2, el2n=False), study(*pupils, levels=3, el2n=False)
    (cell,) = analyze(planted(tmp_path / "store", many)).cells
    (both,) = analyze(_joined(tmp_path / "both", few, many)).cells
    assert both.leave_outs == cell.leave_outs


def test_leave_out_ladders_that_a_file_does_not_tell_apart_are_left_out_with_a_note(tmp_path: Path) -> None:
    store = planted(tmp_path / "store", study(*TREATMENTS, el2n=False))
    store.table().write(tmp_path / "rows.csv")
    result = analyze(tmp_path / "rows.csv")
    assert {leave_out.leave for leave_out in result.cells[0].leave_outs} == {"improved", "misclassified"}
    assert result.notes.count("2 leave-out ladders that the rows do not tell apart are left out") == 3
    (improved,) = [leave_out for leave_out in result.cells[0].leave_outs if leave_out.leave == "improved"]
    assert improved.count is None
    assert improved.against_random is None
    assert improved.against_sparse is not None


def _joined(path: Path, few: Study, many: Study) -> Store:
    """Return a store of both versions; what learned from fewer levels did worse."""
    store = planted(path, many)
    store.begin(few)
    known = {ladder.identity for ladder in many.ladders}
    early = [ladder for ladder in few.ladders if ladder.identity not in known]
    assert {ladder.treatment.kind for ladder in early} == {"leave-out"}
    store.write([row(ladder, 0, **{**figures(ladder, 0), "test_error": 0.9}) for ladder in early])
    return store


def test_a_one_shot_ladder_counts_epochs_from_its_dense_network(tmp_path: Path) -> None:
    (cell,) = analyze(PLAIN.into(tmp_path / "store", study(Treatment(kind="one-shot"), el2n=False))).cells
    assert cell.pruning.treatment == "one-shot weights"
    assert [point.epochs for point in cell.pruning.points] == [4, 8, 8, 8]
