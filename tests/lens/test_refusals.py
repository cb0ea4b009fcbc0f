"""What is not comparable is refused in words, and so is what is not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prunescope.errors import InputError
from prunescope.lens import analyze
from prunescope.study import Ladder, Treatment, ensembles
from prunescope.table import Store
from tests.lens.planted import EXAMPLES, IMP, PLAIN, Figures, ladder_of, plain_figures, row, study

EXTENDED = Treatment(kind="extended")
Arrays = dict[str, np.ndarray]


@pytest.mark.parametrize(
    ("name", "changed", "words"),
    [
        ("index", np.arange(EXAMPLES), "must be of the same examples .* found another subsample or validation split"),
        ("label", np.zeros(EXAMPLES, int), "must be of the same labels .* found other labels"),
        ("noisy", np.ones(EXAMPLES, bool), "must be of the same label noise .* found another draw of label noise"),
    ],
)
def test_networks_of_other_examples_or_labels_are_not_compared(
    tmp_path: Path, name: str, changed: np.ndarray, words: str
) -> None:
    def change(ladder: Ladder, number: int, arrays: Arrays) -> Arrays:
        return arrays | ({name: changed} if (ladder.replicate, number) == (1, 1) else {})

    store = replace(PLAIN, changed=change).into(tmp_path / "store", study())
    with pytest.raises(InputError, match=words) as raised:
        analyze(store)
    assert f"examples/{ladder_of(study(), replicate=1).identity}, rung 1" in str(raised.value)


def test_scores_of_other_examples_are_not_used(tmp_path: Path) -> None:
    store = replace(PLAIN, scored=lambda ladder: False).into(tmp_path / "store", study())
    for ensemble in ensembles(study()):
        arrays: Arrays = {"index": np.arange(EXAMPLES), "el2n": np.ones(EXAMPLES, np.float32)}
        store.write_arrays("examples", ensemble.identity, 0, arrays)
    with pytest.raises(InputError, match="must score the same examples as"):
        analyze(store)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda arrays: {"index": arrays["index"]}, "must hold an array 'label'"),
        (lambda arrays: arrays | {"loss": arrays["loss"][:5]}, "must hold one value for each example"),
        (lambda arrays: arrays | {"loss": arrays["loss"] * np.float32("nan")}, "must hold numbers"),
    ],
)
def test_outcomes_that_are_not_whole_are_refused(tmp_path: Path, change: object, words: str) -> None:
    plant = replace(PLAIN, changed=lambda ladder, number, arrays: change(arrays))  # type: ignore[operator]
    with pytest.raises(InputError, match=words):
        analyze(plant.into(tmp_path / "store", study()))


def test_another_recipe_is_not_compared_and_what_differs_is_told(tmp_path: Path) -> None:
    other = study(EXTENDED, el2n=False, epochs=5, learning_rate=0.2)
    store = PLAIN.into(tmp_path / "store", study())
    store.begin(other)
    store.write(
        [row(ladder, number, **plain_figures(ladder, number)) for ladder in other.ladders for number in range(4)]
    )
    result = analyze(store)
    (cell,) = result.cells
    assert cell.extended is None
    (reasons,) = [entry.words for entry in cell.missing if entry.what == "extended dense training"]
    assert "another recipe (epochs 5 instead of 4, learning_rate 0.2 instead of 0.1), which is not" in reasons
    assert result.notes == ("1 cell without pruned networks left out",)


def test_another_seed_is_another_split_and_pairs_with_nothing(tmp_path: Path) -> None:
    other = study(EXTENDED, el2n=False, seed=1)
    store = PLAIN.into(tmp_path / "store", study())
    store.begin(other)
    store.write(
        [row(ladder, number, **plain_figures(ladder, number)) for ladder in other.ladders for number in range(4)]
    )
    (cell,) = analyze(store).cells
    assert cell.extended is not None
    assert (cell.extended.best, cell.extended.matches) == (None, ())
    assert cell.replicates == ("0 of seed 0", "1 of seed 0", "2 of seed 0")
    (reasons,) = [entry.words for entry in cell.missing if entry.what == "extended dense training"]
    assert "0 of seed 1, 1 of seed 1, 2 of seed 1, not 0 of seed 0" in reasons
    assert "seeds, splits and labels differ" in reasons


def test_replicates_of_two_seeds_are_pairs_within_each_seed(tmp_path: Path) -> None:
    first, second = study(el2n=False), study(el2n=False, seed=1)
    (cell,) = analyze(PLAIN.into(tmp_path / "store", first, second)).cells
    assert cell.optimal is not None
    assert len(cell.optimal.test_error.differences) == 6


def test_two_ladders_that_nothing_tells_apart_are_refused(tmp_path: Path) -> None:
    rows = [row(ladder_of(study()), number, **plain_figures(ladder_of(study()), number)) for number in range(3)]
    store = Store(tmp_path / "store", create=True)
    store.write([*rows, *(row | {"ladder": "f" * 32} for row in rows)])
    with pytest.raises(InputError, match=r"must be one ladder; found .* Give each a `replicate` of its own"):
        analyze(store)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"noise": [0.5]}, r"label noise: must be a level that has pruned networks: 0; found 0.5"),
        ({"cell": {"widht": 0.1}}, r"must be one of family, .*Did you mean 'width'\?"),
        ({"cell": {"width": 0.3}}, r"cell width: must be one that has pruned networks: 0.1"),
        ({"treatment": "imp weight"}, r"must be one that was measured: 'imp learning-rate'; found 'imp weight'"),
        ({"rung": 9}, r"rung: must be a sparse one that was measured: 1, 2, 3; found 9"),
        ({"rung": 0}, r"rung: must be 1 or more"),
        ({"density": 1.0}, r"density: must be above 0 and below 1"),
        ({"density": 0.5, "rung": 1}, r"must not both be given"),
        ({"groups": 41}, r"must be 1 to the 40 examples; found 41"),
        ({"groups": 0, "examples": -1}, r"2 faults"),
    ],
)
def test_questions_that_have_no_answer_name_what_there_is(
    tmp_path: Path, question: dict[str, object], words: str
) -> None:
    store = PLAIN.into(tmp_path / "store", study())
    with pytest.raises(InputError, match=words):
        analyze(store, **question)  # type: ignore[arg-type]


def test_values_that_no_cell_has_at_once_are_refused(tmp_path: Path) -> None:
    several = study(el2n=False, noise=(0.0, 0.2), replicates=1, widths=(0.1, 0.2))

    def some(ladder: Ladder, number: int) -> Figures | None:
        there = (ladder.cell.width, ladder.cell.label_noise) != (0.2, 0.2)
        return plain_figures(ladder, number) if there else None

    with pytest.raises(InputError, match="none has all of it at once"):
        analyze(replace(PLAIN, figures=some).into(tmp_path / "store", several), cell={"width": 0.2}, noise=[0.2])


def test_a_table_without_pruned_networks_has_nothing_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must hold pruned networks"):
        analyze(PLAIN.into(tmp_path / "store", study(Treatment(kind="dense"))))


def test_a_treatment_that_another_cell_has_is_said_to_be_missing_here(tmp_path: Path) -> None:
    def some(ladder: Ladder, number: int) -> Figures | None:
        lacking = ladder.treatment.rewind == "weights" and ladder.cell.label_noise
        return None if lacking else plain_figures(ladder, number)

    levels = study(IMP, Treatment(kind="imp", name="weights"), noise=(0.0, 0.2))
    store = replace(PLAIN, figures=some).into(tmp_path / "store", levels)
    clean, noisy = analyze(store, treatment="imp weights").cells
    assert (clean.pruning.treatment, noisy.pruning.treatment) == ("imp weights", "imp learning-rate")
    assert "this cell has no imp weights; imp learning-rate is looked at instead" in noisy.notes
