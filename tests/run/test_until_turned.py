"""A run until the validation error has turned: how far it climbs, and that its rungs are those of an ordinary study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prunescope.errors import InputError
from prunescope.run import RunReport, run_study
from prunescope.run.events import Event, EventHandler, RungFinished
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.run.until_turned import TurnedRun, train_until_turned, with_levels
from prunescope.study import Ladder, Study, Treatment
from prunescope.study.sections import Axes
from prunescope.table import Store, status
from tests.run.studies import lesson_study, rows
from tests.run.test_leave_out import best_of

RUNGS = 2


@pytest.fixture(autouse=True)
def whole_cohorts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TuningCache, "of_machine", lambda self, key: CohortSettings(64, 1, 64, 1, 1e-4))


def study_of(levels: int = 2, replicates: int = 2) -> Study:
    """Return a study whose validation error falls beyond its levels."""
    pupil, extended = Treatment(kind="leave-out", learns_from="imp", share=0.3), Treatment(kind="extended")
    return lesson_study(pupil, extended, levels=levels, replicates=replicates)


def turned(
    study: Study, path: Path, rungs: int = RUNGS, most: int = 40, on_event: EventHandler | None = None
) -> TurnedRun:
    store = Store(path, create=True)

    def train(part: Study, ladders: Sequence[Ladder] | None) -> RunReport:
        return run_study(part, store, ladders=ladders, workers=1, on_event=on_event)

    return train_until_turned(study, store, rungs, train, most=most)


@pytest.fixture(scope="module")
def climbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[TurnedRun, Store]:
    path = tmp_path_factory.mktemp("turned") / "store"
    run = turned(study_of(), path)
    assert not run.report.failures
    return run, Store(path)


def mean_errors(store: Store, run: TurnedRun) -> dict[float, dict[int, float]]:
    """Return pruning's mean validation error by label noise and rung, from the rows."""
    table = store.table("treatment = 'imp'")
    errors = {}
    for end in run.cells:
        of_cell = table["label_noise"] == end.cell.label_noise
        errors[end.cell.label_noise] = {
            rung: float(np.mean(table["validation_error"][of_cell & (table["rung"] == rung)]))
            for rung in range(end.levels + 1)
        }
    return errors


def test_ladders_end_as_soon_as_no_rung_of_the_last_is_better(climbed: tuple[TurnedRun, Store]) -> None:
    run, store = climbed
    assert any(end.levels > 2 for end in run.cells)
    for end in run.cells:
        errors = mean_errors(store, run)[end.cell.label_noise]
        lowest = min(range(1, end.levels + 1), key=lambda rung: (errors[rung], rung))
        assert end.turned
        assert end.optimal == {"imp": lowest}
        assert end.levels - lowest >= RUNGS
        for shorter in range(2, end.levels):
            best = min(range(1, shorter + 1), key=lambda rung: (errors[rung], rung))
            assert shorter - best < RUNGS, "it might have ended here"


def test_rungs_are_those_of_a_study_that_asks_for_as_many_levels(
    climbed: tuple[TurnedRun, Store], tmp_path: Path
) -> None:
    run, store = climbed
    higher = replace(
        study_of(),
        axes=tuple(
            Axes(
                dataset=("digits",),
                family=("lenet",),
                depth=(3,),
                width=(0.06,),
                examples=(200,),
                label_noise=(end.cell.label_noise,),
                levels=end.levels,
            )
            for end in run.cells
        ),
    )
    plain = Store(tmp_path / "store", create=True)
    assert not run_study(higher, plain, workers=1).failures
    assert rows(plain) == rows(store)
    assert {ladder.identity for ladder in higher.ladders} == {ladder.identity for ladder in run.study.ladders}


def test_leave_out_ladders_learn_from_the_full_ladder_and_are_trained_once(climbed: tuple[TurnedRun, Store]) -> None:
    run, store = climbed
    pupils = [ladder for ladder in run.study.ladders if ladder.learns]
    assert set(store.table("treatment = 'leave-out'")["ladder"].tolist()) == {ladder.identity for ladder in pupils}
    levels = {end.cell: end.levels for end in run.cells}
    assert any(best_of(store, ladder) > 2 for ladder in pupils)
    for ladder in pupils:
        assert ladder.recipe.levels == levels[ladder.cell]
        dense, sparse = (store.read_arrays("examples", ladder.teacher, rung) for rung in (0, best_of(store, ladder)))
        left = store.read_arrays("checkpoints", ladder.identity, 0)["left_out"]
        out = np.isin(dense["index"], left)
        change = sparse["loss"].astype(float) - dense["loss"]
        assert change[out].max() <= change[~out].min()


def test_all_treatments_of_a_cell_have_the_same_levels_and_nothing_is_left(climbed: tuple[TurnedRun, Store]) -> None:
    run, store = climbed
    table = store.table("treatment = 'extended'")
    for end in run.cells:
        assert max(table["rung"][table["label_noise"] == end.cell.label_noise]) == end.levels
    assert all(state.done == state.ladders for state in status(store).studies)
    assert any(state.study.identity == run.study.identity for state in status(store).studies)


@pytest.mark.parametrize("stop", [2, 5, 9])
def test_a_stopped_run_decides_and_trains_the_same(climbed: tuple[TurnedRun, Store], tmp_path: Path, stop: int) -> None:
    seen = 0

    def stopping(event: Event) -> None:
        nonlocal seen
        seen += isinstance(event, RungFinished)
        if seen == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        turned(study_of(), tmp_path / "store", on_event=stopping)
    run, (whole, store) = turned(study_of(), tmp_path / "store"), climbed
    assert run.cells == whole.cells
    assert rows(Store(tmp_path / "store")) == rows(store)
    assert 0 < run.report.rungs < whole.report.rungs


def test_a_second_run_trains_nothing(climbed: tuple[TurnedRun, Store]) -> None:
    run, store = climbed
    again = turned(study_of(), store.path)
    assert again.report.rungs == 0
    assert again.cells == run.cells


def test_rungs_of_another_study_beyond_these_levels_decide_nothing(
    climbed: tuple[TurnedRun, Store], tmp_path: Path
) -> None:
    store = Store(tmp_path / "store", create=True)
    deep = with_levels(study_of(), dict.fromkeys(study_of().cells, 12))
    pruned = [ladder for ladder in deep.ladders if ladder.treatment.kind == "imp"]
    assert not run_study(study_of(), store, ladders=pruned, workers=1).failures
    assert turned(study_of(), store.path).cells == climbed[0].cells


def test_the_bound_is_kept_and_said(tmp_path: Path) -> None:
    run = turned(study_of(), tmp_path / "store", rungs=30, most=4)
    assert {(end.levels, end.turned) for end in run.cells} == {(4, False)}
    deeper = turned(study_of(levels=5), tmp_path / "store", rungs=30, most=4)
    assert {(end.levels, end.turned) for end in deeper.cells} == {(5, False)}


def test_it_ends_where_no_weight_is_left(tmp_path: Path) -> None:
    study = lesson_study(Treatment(kind="dense"), levels=1, replicates=1, pruning_fraction=0.7, epochs=1)
    run = turned(study, tmp_path / "store", rungs=30)
    table = Store(tmp_path / "store").table("treatment = 'imp'")
    assert not run.report.failures
    assert table["kept"].min() >= 1
    assert {round(int(table["prunable"][0]) * 0.3 ** (end.levels + 1)) for end in run.cells} == {0}
    assert not any(end.turned for end in run.cells)


def test_more_levels_go_to_the_replicates_that_had_most() -> None:
    study = study_of(replicates=1)
    more = study.axes[0].model_copy(update={"levels": 1, "replicates": 3})
    uneven = replace(study, axes=(*study.axes, more))
    cell = uneven.cells[0]
    assert uneven.extent[cell] == [2, 1, 1]
    raised = with_levels(uneven, {cell: 6})
    assert raised.extent == {**uneven.extent, cell: [6, 1, 1]}
    assert with_levels(uneven, {cell: 2}) is uneven


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"recipe": {"validation": 0.0}, "treatments": (Treatment(kind="imp"),)}, "recipe.validation"),
        ({"treatments": (Treatment(kind="dense"),)}, "treatments"),
    ],
)
def test_a_study_whose_error_cannot_turn_is_refused(change: dict[str, object], place: str, tmp_path: Path) -> None:
    study = study_of()
    recipe = study.recipe.model_copy(update=change.get("recipe", {}))  # type: ignore[arg-type]
    refused = replace(study, recipe=recipe, treatments=change["treatments"])  # type: ignore[arg-type]
    with pytest.raises(InputError) as raised:
        turned(refused, tmp_path / "store")
    assert [fault.place for fault in raised.value.faults] == [place]
