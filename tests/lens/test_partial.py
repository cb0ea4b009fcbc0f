"""What is not there is said to be missing, with the key that would have it told; the rest is shown."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prunescope.errors import InputError
from prunescope.lens import Effect, TreatmentOutcome, analyze
from prunescope.lens.analysis import CellResult
from prunescope.study import Ladder, Treatment
from prunescope.table import Store, read_table
from tests.lens.planted import IMP, PLAIN, Figures, Plant, plain_figures, plain_losses, study


def missing(cell: CellResult) -> dict[str, str]:
    return {entry.what: entry.words for entry in cell.missing}


def only(store: Store) -> CellResult:
    (cell,) = analyze(store).cells
    return cell


def test_without_validation_there_is_no_optimum_but_a_sparsest(tmp_path: Path) -> None:
    def figures(ladder: Ladder, number: int) -> Figures:
        return {**plain_figures(ladder, number), "validation_error": None}

    cell = only(Plant(figures, plain_losses).into(tmp_path / "store", study(validation=0.0)))
    assert cell.optimal is None
    assert cell.sparsest is not None
    assert (cell.sparsest.rung, cell.sparsest.groups is not None) == (2, True)
    assert cell.diagnosis.effect is Effect.UNTOLD
    assert "set validation = 0.1 in the recipe" in missing(cell)["the optimal sparsity"]


def test_one_replicate_gives_figures_and_no_verdict(tmp_path: Path) -> None:
    cell = only(PLAIN.into(tmp_path / "store", study(replicates=1)))
    assert cell.optimal is not None
    assert cell.optimal.test_error.outcome is TreatmentOutcome.UNTOLD
    assert cell.optimal.test_error.words == "-5 points, no verdict (n = 1)"
    assert cell.diagnosis.effect is Effect.UNTOLD
    assert cell.diagnosis.words == "no diagnosis of one replicate: test error -5 points, no verdict (n = 1)"
    assert cell.sparsest is not None
    assert cell.sparsest.rung == 2
    assert "set replicates = 3" in missing(cell)["verdicts"]


def test_without_scores_single_examples_are_still_named(tmp_path: Path) -> None:
    cell = only(PLAIN.into(tmp_path / "store", study(el2n=False)))
    assert cell.optimal is not None
    assert cell.optimal.groups is None
    assert len(cell.optimal.extremes) == 3
    assert cell.optimal.extremes[0].improved[0].el2n is None
    assert "add a section [el2n] to the study" in missing(cell)["groups by EL2N"]
    waiting = only(replace(PLAIN, scored=lambda ladder: False).into(tmp_path / "waiting", study()))
    assert "the study asks for it: let its run finish" in missing(waiting)["groups by EL2N"]


def test_outcomes_that_were_not_kept_are_named_with_their_rungs_and_replicates(tmp_path: Path) -> None:
    def losses(ladder: Ladder, number: int) -> np.ndarray | None:
        return None if ladder.replicate == 2 or number == 2 else plain_losses(ladder, number)

    cell = only(Plant(plain_figures, losses).into(tmp_path / "store", study()))
    assert cell.optimal is not None
    assert cell.sparsest is not None
    assert cell.optimal.groups is not None
    assert cell.optimal.groups.replicates == ("0", "1")
    assert cell.sparsest.groups is None
    sentences = [entry.words for entry in cell.missing if entry.what == "groups by EL2N and single examples"]
    assert len(sentences) == 2
    assert "rungs 0, 1 of replicates 2 were not kept" in sentences[0]
    assert "rung 2 of replicates 0, 1, 2 were not kept" in sentences[1]
    assert all(f"prunescope outcomes {tmp_path / 'store'} makes them" in sentence for sentence in sentences)


def test_ladders_half_finished_count_where_they_have_been(tmp_path: Path) -> None:
    def figures(ladder: Ladder, number: int) -> Figures | None:
        return plain_figures(ladder, number) if number < 2 or ladder.replicate < 2 else None

    cell = only(replace(PLAIN, figures=figures).into(tmp_path / "store", study()))
    assert cell.pruning.complete == ("0", "1")
    assert cell.pruning.at(1).test_error.replicates == ("0", "1", "2")
    assert cell.pruning.at(2).test_error.replicates == ("0", "1")
    assert "imp learning-rate is at 2 of 4 rungs so far in 1 replicate (2)" in cell.notes
    assert any("the optimal sparsity is by replicates 0, 1, which have all 4 rungs" in note for note in cell.notes)


def test_a_study_that_has_only_just_begun_is_looked_at(tmp_path: Path) -> None:
    def figures(ladder: Ladder, number: int) -> Figures | None:
        return None if number else plain_figures(ladder, number)

    cell = only(replace(PLAIN, figures=figures).into(tmp_path / "store", study()))
    assert (cell.pruning.optimal, cell.optimal, cell.sparsest) == (None, None, None)
    assert "its dense networks alone so far; the study asks for it" in missing(cell)["sparse networks"]
    with pytest.raises(InputError, match="rung: must be a sparse one that was measured"):
        analyze(tmp_path / "store", rung=1)
    assert analyze(tmp_path / "store", density=0.5).cells[0].asked is None


def test_treatments_are_missing_or_not_yet_measured(tmp_path: Path) -> None:
    bare = missing(only(PLAIN.into(tmp_path / "bare", study())))
    assert 'add a treatment with kind = "extended"' in bare["extended dense training"]
    assert 'kind = "narrow"' in bare["width down-scaling"]
    assert 'kind = "leave-out"' in bare["training without what pruning improved"]

    def figures(ladder: Ladder, number: int) -> Figures | None:
        return plain_figures(ladder, number) if ladder.treatment.kind == "imp" else None

    waiting = study(IMP, Treatment(kind="extended"))
    entries = missing(only(replace(PLAIN, figures=figures).into(tmp_path / "waiting", waiting)))
    assert "it was not measured; the study asks for it" in entries["extended dense training"]


def test_a_dense_network_that_does_best_is_told(tmp_path: Path) -> None:
    def figures(ladder: Ladder, number: int) -> Figures:
        error = 0.1 + 0.02 * number + 0.001 * ladder.replicate
        return {"test_error": error, "validation_error": error, "train_loss": 0.1}

    cell = only(Plant(figures).into(tmp_path / "store", study()))
    assert cell.sparsest is None
    assert "no sparsity beats the dense network on test" in cell.notes
    assert any(note.startswith("the dense network validates as well as any sparse one") for note in cell.notes)
    assert cell.diagnosis.words.startswith("neither: even at its optimal density 0.8 pruning raises test error (+2 ")


def test_a_file_tells_all_that_rows_tell(tmp_path: Path) -> None:
    store = PLAIN.into(tmp_path / "store", study(IMP, Treatment(kind="extended")))
    read_table(store).write(tmp_path / "rows.csv")
    there, here = only(store), analyze(tmp_path / "rows.csv").cells[0]
    assert here.pruning == there.pruning
    assert here.extended is not None
    assert there.extended is not None
    changes = tuple(replace(change, groups=None) for change in there.extended.changes)
    assert here.extended == replace(there.extended, changes=changes)
    assert here.optimal is not None
    assert there.optimal is not None
    assert here.optimal == replace(there.optimal, groups=None, extremes=())
    assert "a table has rows alone" in missing(here)["groups by EL2N and single examples"]
    assert here.diagnosis.effect is Effect.TRAINING


def test_three_columns_are_enough_for_a_curve() -> None:
    columns = {
        "density": [1.0, 0.5, 0.25] * 2,
        "error": [0.2, 0.1, 0.3, 0.21, 0.12, 0.31],
        "replicate": [0, 0, 0, 1, 1, 1],
    }
    (cell,) = analyze(columns).cells
    assert (cell.name, cell.pruning.treatment) == ("one network", "pruning")
    assert [point.rung for point in cell.pruning.points] == [0, 1, 2]
    assert cell.sparsest is not None
    assert cell.sparsest.density == 0.5
    assert cell.sparsest.test_error.mean == pytest.approx(-0.095)
    assert cell.pruning.points[0].epochs is None


def test_losses_that_the_rows_do_not_tell_are_named_and_only_those(tmp_path: Path) -> None:
    def bare(ladder: Ladder, number: int) -> Figures:
        error = 0.2 + 0.01 * number
        return {"test_error": error, "validation_error": None, "train_loss": None}

    def told(ladder: Ladder, number: int) -> Figures:
        losses = {"train_loss": 0.5, "train_loss_original": 0.4, "train_loss_noisy": 0.9}
        return {**bare(ladder, number), **losses}

    unscored = study(noise=(0.25,), el2n=False, validation=0.0)
    without = missing(only(Plant(bare).into(tmp_path / "bare", unscored)))
    assert "no row has a train_loss" in without["training loss"]
    assert "no row has train_loss_original and train_loss_noisy" in without["noisy against original examples"]
    there = missing(only(Plant(told).into(tmp_path / "told", unscored)))
    assert not {"training loss", "noisy against original examples"} & set(there)


def test_a_file_without_the_dense_network_says_so() -> None:
    (cell,) = analyze({"density": [0.5, 0.25], "error": [0.1, 0.3], "validation_error": [0.1, 0.3]}).cells
    assert (cell.optimal, cell.sparsest) == (None, None)
    assert [point.rung for point in cell.pruning.points] == [1, 2]
    assert "has no rung 0 at density 1" in missing(cell)["dense networks"]


def test_rows_that_need_a_rung_to_be_told_apart_are_left_out_with_a_note() -> None:
    columns = {
        "density": [1.0, 0.5, 1.0, 1.0],
        "error": [0.2, 0.1, 0.2, 0.15],
        "treatment": ["imp", "imp", "extended", "extended"],
        "epochs": [1, 1, 1, 1],
        "replicate": [0, 0, 0, 1],
    }
    result = analyze(columns)
    assert "extended rows need a column `rung` to be told apart; 1 row left out" in result.notes
    assert result.cells[0].extended is None


def rows(**more: object) -> dict[str, list[object]]:
    """Return imp ladders of three replicates and one width, three rungs each; `more` holds or changes columns."""
    count = 9
    table: dict[str, list[object]] = {
        "replicate": [place // 3 for place in range(count)],
        "rung": [place % 3 for place in range(count)],
        "density": [0.8 ** (place % 3) for place in range(count)],
        "treatment": ["imp"] * count,
        "width": [1.0] * count,
        "test_error": [0.1 + 0.01 * (place // 3) - 0.02 * (place % 3 == 1) for place in range(count)],
        "validation_error": [0.1 - 0.02 * (place % 3 == 1) for place in range(count)],
    }
    return table | {
        name: list(values) if isinstance(values, list) else [values] * count for name, values in more.items()
    }


def joined(*tables: dict[str, list[object]]) -> dict[str, list[object]]:
    return {name: [value for table in tables for value in table[name]] for name in tables[0]}


@pytest.mark.parametrize("kind", ["imp", "extended"])
def test_one_ladder_told_twice_is_refused_where_a_file_leaves_out_what_is_usual(kind: str) -> None:
    density = [1.0] * 9 if kind == "extended" else rows()["density"]
    twice = [rows(treatment=kind, density=density, score=score) for score in ("magnitude", "")]
    with pytest.raises(InputError, match="must be one ladder"):
        analyze(joined(rows(score="random"), *twice))


@pytest.mark.parametrize("dense", ["own", "shared"])
def test_columns_of_ones_own_that_tell_rows_apart_are_named_with_a_condition_that_works(dense: str) -> None:
    several = joined(rows(method="it's", times=1, seconds=0.5), rows(method="b", times=1, seconds=0.7))
    several = joined(several, rows(method="b", times=2, seconds=0.9))
    if dense == "shared":  # by all methods, and trained once
        unpruned = [place for place, density in enumerate(several["density"]) if density == 1]
        several["method"] = ["none" if place in unpruned else value for place, value in enumerate(several["method"])]
        several["times"] = [0 if place in unpruned else value for place, value in enumerate(several["times"])]
        places = [place for place in range(27) if place < 9 or place not in unpruned]
        several = {name: [values[place] for place in places] for name, values in several.items()}
    table = read_table(several)
    with pytest.raises(InputError, match="must have one row for each rung; found ") as refused:
        analyze(table)
    words = str(refused.value)
    assert "'method', 'times' tell these rows apart" in words
    condition = re.search(r'--where "(.*?)"\.', words)
    assert condition is not None
    assert ("density = 1" in condition[1]) == (dense == "shared")
    (cell,) = analyze(table.where(condition[1])).cells
    assert len(cell.pruning.points) == 3


def test_a_column_of_seeds_is_named_with_the_option_that_makes_replicates_of_it() -> None:
    several = {name: values for name, values in rows(arch="a").items() if name != "replicate"}
    several["seed"] = rows()["replicate"]
    with pytest.raises(InputError, match="must have one row for each rung") as refused:
        analyze(read_table({name: values * 2 for name, values in several.items()} | {"arch": ["a"] * 9 + ["b"] * 9}))
    words = str(refused.value)
    assert "'seed' numbers repetitions: add --set 'replicate = seed'." in words
    assert "--where \"arch = 'a'\"" in words or "--where \"arch = 'b'\"" in words


def test_narrow_rows_of_two_networks_are_left_out_and_the_rest_is_shown() -> None:
    dense = [1.0] * 9
    narrow = [
        rows(treatment="narrow", density=dense, width=[width * 0.8 ** (n % 3) for n in range(9)]) for width in (1, 2)
    ]
    result = analyze(joined(rows(), rows(width=2.0), *narrow))
    assert [cell.pruning.replicates for cell in result.cells] == [("0", "1", "2")] * 2
    assert all(cell.narrow is None for cell in result.cells)
    assert any("narrow rows of several networks need a column `ladder`" in note for note in result.notes)


def test_a_rung_is_looked_at_in_the_cells_that_have_it() -> None:
    short = {name: [value for n, value in enumerate(values) if n % 3 < 2] for name, values in rows(width=2.0).items()}
    result = analyze(joined(rows(), short), rung=2)
    assert [cell.asked is not None for cell in result.cells] == [True, False]
    assert "rung 2 was not measured here" in result.cells[1].notes
    with pytest.raises(InputError, match="must be a sparse one that was measured: 1, 2"):
        analyze(joined(rows(), short), rung=3)


def test_a_replicate_without_validation_errors_does_not_hide_the_optimum_of_the_others() -> None:
    validation = [float("nan") if n >= 6 else value for n, value in enumerate(rows()["validation_error"])]
    (cell,) = analyze(rows(validation_error=validation)).cells
    assert (cell.pruning.optimal, cell.pruning.complete) == (1, ("0", "1"))
