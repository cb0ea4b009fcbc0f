"""Other treatments and the training loss of examples, optima at the end of a ladder, labels that may be wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prunescope.lens import TreatmentOutcome, analyze
from prunescope.lens.analysis import CellResult
from prunescope.lens.example_changes import corrected_outcome
from prunescope.study import Ladder, Study, Treatment
from prunescope.table import Store
from tests.lens.planted import EXAMPLES, IMP, PLAIN, Figures, Plant, el2n, index, noisy, plain_losses, study

TREATMENTS = (
    IMP,
    Treatment(kind="extended"),
    Treatment(kind="narrow"),
    Treatment(kind="one-shot", rewind="learning-rate"),
    Treatment(kind="leave-out", name="improved", learns_from="imp"),
    Treatment(kind="leave-out", name="any", learns_from="imp", leave="random"),
)
ERRORS = {
    "imp": (0.20, 0.15, 0.17, 0.25),
    "extended": (0.20, 0.19, 0.18, 0.16),  # still falls at its end
    "narrow": (0.20, 0.22, 0.24, 0.30),  # best at full width
    "one-shot": (0.20, 0.18, 0.17, 0.22),
    "leave-out": (0.23,),
}
# What a rung adds to the training loss of the last fifth of the examples, and of the rest.
ADDS = {"imp": (-0.4, -0.1), "extended": (-0.2, -0.2), "narrow": (0.5, 0.1), "one-shot": (0.3, 0.0)}
TOP = np.arange(EXAMPLES) >= EXAMPLES - EXAMPLES // 5
LEFT_OUT = 5


def figures(ladder: Ladder, number: int) -> Figures:
    error = ERRORS[ladder.treatment.kind][number] + 0.01 * ladder.replicate
    validation = error + (0.1 if ladder.treatment.kind == "narrow" and number == 0 else 0.0)
    return {"test_error": error, "validation_error": validation, "train_loss": 0.5 - 0.1 * number}


def losses(ladder: Ladder, number: int) -> np.ndarray:
    if ladder.treatment.kind == "leave-out":
        return np.where(TOP, 3.0, 2.5)
    top, rest = ADDS[ladder.treatment.kind]
    return 2.0 + number * np.where(TOP, top, rest) * (1 + 0.1 * ladder.replicate)


def without_some(ladder: Ladder, number: int, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Take the first examples away from networks that were trained without them."""
    del number
    first = LEFT_OUT if ladder.treatment.kind == "leave-out" else 0
    return {name: values[first:] for name, values in arrays.items()}


PLANT = Plant(figures, losses, changed=without_some)


def planted(path: Path, one: Study) -> Store:
    store = PLANT.into(path, one)
    for ladder in one.ladders:
        if ladder.treatment.kind == "leave-out":
            store.write_arrays("checkpoints", ladder.identity, 0, {"left_out": np.arange(LEFT_OUT)})
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return planted(tmp_path_factory.mktemp("others") / "store", study(*TREATMENTS))


@pytest.fixture(scope="module")
def cell(store: Store) -> CellResult:
    (result,) = analyze(store, groups=5).cells
    return result


def test_training_loss_by_el2n_is_told_of_every_treatment_at_its_optimum(cell: CellResult) -> None:
    compared = {item.curve.kind: item for item in (cell.extended, cell.narrow, *cell.ablations) if item}
    assert {kind: item.changes[0].which for kind, item in compared.items()} == dict.fromkeys(compared, "optimal")
    for kind, rung in (("extended", 3), ("narrow", 1), ("one-shot", 2)):
        change = compared[kind].changes[0]
        assert change.rung == rung
        assert change.groups is not None
        top, rest = ADDS[kind]
        means = [group.difference.mean for group in change.groups.groups]
        assert means == pytest.approx([rung * rest * 1.1] * 4 + [rung * top * 1.1], abs=1e-6)
        assert change.train_loss is not None
        assert change.train_loss.mean == pytest.approx(-0.1 * rung)


def test_one_more_rung_is_looked_at_in_every_treatment(store: Store) -> None:
    (asked,) = analyze(store, rung=1).cells
    assert asked.extended is not None
    assert [(change.which, change.rung) for change in asked.extended.changes] == [("optimal", 3), ("asked", 1)]


def test_networks_trained_without_examples_are_compared_on_those_they_have(cell: CellResult) -> None:
    (improved,) = (item for item in cell.leave_outs if item.leave == "improved")
    assert improved.groups is not None
    assert sum(group.size for group in improved.groups.groups) == EXAMPLES - LEFT_OUT
    assert improved.groups.groups[-1].difference.mean == pytest.approx(1.0)
    assert improved.groups.groups[0].difference.mean == pytest.approx(0.5)


def test_dense_outcomes_of_another_ladder_stand_in(tmp_path: Path) -> None:
    def kept(ladder: Ladder, number: int) -> np.ndarray | None:
        return None if ladder.treatment.kind == "extended" and number == 0 else losses(ladder, number)

    (result,) = analyze(replace(PLANT, losses=kept).into(tmp_path / "store", study(*TREATMENTS[:2]))).cells
    assert result.extended is not None
    assert result.extended.changes[0].groups is not None


def test_a_treatment_that_does_not_prune_is_shown_alone_beside_pruning(store: Store) -> None:
    (result,) = analyze(store, treatment="narrow").cells
    assert result.pruning.treatment == "imp learning-rate"
    assert result.narrow is not None
    assert (result.extended, result.ablations, result.leave_outs) == (None, (), ())
    assert not any("no narrow" in words for words in result.notes)
    name = "leave-out improved 0.2 by imp learning-rate"
    (result,) = analyze(store, treatment=name).cells
    assert [item.treatment for item in result.leave_outs] == [name]
    assert result.leave_outs[0].against_random is not None


def test_the_papers_comparison_goes_by_test_error_and_counts_the_dense_network(cell: CellResult) -> None:
    assert cell.narrow is not None
    assert (cell.narrow.curve.optimal, cell.narrow.curve.lowest, cell.pruning.lowest) == (1, (0, 0, 0), (1, 1, 1))
    assert cell.narrow.best is not None
    assert cell.narrow.best.mean == pytest.approx(0.22 - 0.15)
    assert cell.narrow.best_by_test is not None
    assert cell.narrow.best_by_test.mean == pytest.approx(0.20 - 0.15)
    assert "narrow at rungs 0, pruning at 1" in cell.narrow.words_by_test
    assert f"narrower network from the start is worse than pruning (+7 ± {0:.2g}" in " ".join(cell.diagnosis.practice)


def test_an_optimum_at_the_end_of_a_ladder_is_said(cell: CellResult, tmp_path: Path) -> None:
    assert cell.extended is not None
    assert (cell.pruning.optimal_at_end, cell.extended.curve.optimal_at_end) == (False, True)
    assert not cell.diagnosis.provisional
    assert "extended: the best rung is the last one trained (rung 3): train further" in cell.notes
    (ended,) = analyze(PLAIN.into(tmp_path / "store", study(levels=1))).cells
    assert ended.diagnosis.provisional
    assert ended.diagnosis.words.endswith("provisional")
    assert "train further" in ended.diagnosis.practice[0]
    assert any(words.startswith("imp learning-rate: the best rung is the last one") for words in ended.notes)


def test_twenty_groups_are_corrected_for_their_number(tmp_path: Path) -> None:
    """One deviation and a little more on every group is a difference by the paper's rule, and by chance."""

    def scattered(ladder: Ladder, number: int) -> np.ndarray:
        every = np.where(np.arange(EXAMPLES) < 10, 0.5 + 0.001 * ladder.replicate, (0.5, 0.1, 0.2)[ladder.replicate])
        return 1.0 + number * every

    (result,) = analyze(Plant(PLAIN.figures, scattered).into(tmp_path / "store", study())).cells
    assert result.optimal is not None
    groups = result.optimal.groups
    assert groups is not None
    assert groups.words == "of 20 groups by EL2N, training loss is worse in 20"
    assert [corrected_outcome(group) for group in groups.groups[:5]] == [TreatmentOutcome.WORSE] * 5
    assert groups.corrected_words.endswith("training loss is worse in 5, cannot be told apart with n = 3 in 15")
    power = groups.groups[10].difference.power
    assert power is not None
    assert power.outcome is TreatmentOutcome.UNTOLD
    assert power.replicates is not None
    assert f"cannot be told apart with n = 3; about {power.replicates} replicates would tell" in power.words


def test_labels_that_may_be_wrong_are_listed_and_held_against_planted_noise(tmp_path: Path) -> None:
    def fitted(ladder: Ladder, number: int) -> np.ndarray:
        loss: np.ndarray = np.where(noisy(ladder), 0.5 + number, 0.4) + 0.001 * np.arange(EXAMPLES)
        return loss

    store = Plant(PLAIN.figures, fitted).into(tmp_path / "store", study(noise=(0.0, 0.25)))
    clean, wrong = analyze(store, suspects=3).cells
    assert clean.suspects is not None
    assert clean.suspects.precisions == ()
    assert wrong.suspects is not None
    assert [suspect.index for suspect in wrong.suspects.suspects] == index(0)[:-4:-1].tolist()
    assert [suspect.noisy for suspect in wrong.suspects.suspects] == [True] * 3
    assert wrong.suspects.suspects[0].el2n == pytest.approx(el2n(0)[-1])
    assert wrong.suspects.precisions == ()  # 40 examples are fewer than 50


def test_losses_of_the_plain_plant_make_no_suspects_without_outcomes(tmp_path: Path) -> None:
    (bare,) = analyze(Plant(PLAIN.figures).into(tmp_path / "store", study())).cells
    assert bare.suspects is None
    (kept,) = analyze(
        Plant(PLAIN.figures, plain_losses, scored=lambda ladder: False).into(tmp_path / "b", study())
    ).cells
    assert kept.suspects is not None
    assert kept.suspects.suspects[0].el2n is None
