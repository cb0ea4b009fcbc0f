"""Studies trained for real: the same numbers however they are run, stopped and taken up again."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prunescope.errors import InputError
from prunescope.nets import network
from prunescope.nets.outline import Outline, outline
from prunescope.run import run_study
from prunescope.run.cohorts import by_key, split
from prunescope.run.estimate import estimate
from prunescope.run.events import (
    Event,
    EventHandler,
    NetworkMade,
    RungFinished,
)
from prunescope.run.task_runner import TrainTask, TuneTask
from prunescope.run.task_schedule import TaskSchedule
from prunescope.run.tuning_cache import CohortSettings
from prunescope.study import Ladder, Study
from prunescope.study.sections import Treatment
from prunescope.table import Store
from tests.run.studies import dense_study, mixed_study, rows, trained

pytestmark = pytest.mark.usefixtures("whole_cohorts")


def stopping_after(rungs: int) -> EventHandler:
    """Return a listener that ends a run after so many rungs of cohorts."""
    seen = 0

    def on_event(event: Event) -> None:
        nonlocal seen
        seen += isinstance(event, RungFinished)
        if seen == rungs:
            raise KeyboardInterrupt

    return on_event


def test_every_rung_has_its_row_with_the_counts_of_the_formula(unbroken: Store) -> None:
    table = unbroken.table()
    assert len(table) == 2 * 3 * 4
    for prunable, rung, kept in zip(table["prunable"], table["rung"], table["kept"], strict=True):
        assert kept == round(int(prunable) * 0.8 ** int(rung))
    assert set(table["epochs"][table["rung"] == 0]) == {2}
    assert set(table["epochs"][table["rung"] > 0]) == {1}
    assert table["test_error"][table["rung"] == 0].mean() < 0.75  # guessing is 0.9


def test_two_runs_from_the_same_seeds_give_the_same_rows(unbroken: Store, tmp_path: Path) -> None:
    assert rows(trained(dense_study(), tmp_path / "store")) == rows(unbroken)


def test_workers_give_the_rows_of_one_process(unbroken: Store, tmp_path: Path) -> None:
    assert rows(trained(dense_study(), tmp_path / "store", workers=2)) == rows(unbroken)


def test_a_finished_study_is_not_trained_again(unbroken: Store) -> None:
    before = rows(unbroken)
    assert run_study(dense_study(), unbroken).rungs == 0
    assert rows(unbroken) == before


@pytest.mark.parametrize("rungs", [1, 3, 6])
def test_a_run_that_was_stopped_goes_on_with_the_same_numbers(unbroken: Store, tmp_path: Path, rungs: int) -> None:
    store = Store(tmp_path / "store", create=True)
    with pytest.raises(KeyboardInterrupt):
        run_study(dense_study(), store, workers=1, on_event=stopping_after(rungs))
    assert len(store.table()) == 3 * rungs
    run_study(dense_study(), store, workers=1)
    assert rows(store) == rows(unbroken)


def test_every_treatment_goes_on_with_the_same_numbers(tmp_path: Path) -> None:
    whole = trained(mixed_study(), tmp_path / "whole")
    store = Store(tmp_path / "store", create=True)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run_study(mixed_study(), store, workers=1, on_event=stopping_after(1))
    run_study(mixed_study(), store, workers=1)
    assert rows(store) == rows(whole)
    table = whole.table()
    assert set(table["density"][table["treatment"] == "extended"]) == {1.0}
    noisy = table["label_noise"] > 0
    assert np.isfinite(table["train_loss_noisy"][noisy]).all()
    assert np.isnan(table["train_loss_noisy"][~noisy]).all()


def test_more_levels_keep_what_is_there(unbroken: Store, tmp_path: Path) -> None:
    store = trained(dense_study(levels=1), tmp_path / "store")
    before = rows(store)
    report = run_study(dense_study(), store, workers=1)
    assert report.rungs == 2 * 3 * 2
    assert rows(store) == rows(unbroken)
    assert before.items() <= rows(store).items()


def test_ladders_that_another_process_is_at_are_left_to_it(tmp_path: Path) -> None:
    study, store = dense_study(), Store(tmp_path / "store", create=True)
    with store.claim(study.ladders[0].identity):
        report = run_study(study, store, workers=1)
        assert report.elsewhere == 1
        assert study.ladders[0].identity not in store.done()
    assert run_study(study, store, workers=1).rungs == 4


def test_an_estimate_walks_each_shape_once_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    walks: list[object] = []

    def counted_outline(*design: Any) -> Outline:
        walks.append(design)
        return outline(*design)

    monkeypatch.setattr(import_module("prunescope.nets.network"), "outline", counted_outline)
    widths = tuple(round(0.501 + place / 1_000, 3) for place in range(300))
    study = dense_study(replicates=2, widths=widths)
    network.cache_clear()  # earlier tests of this process may have walked some of them
    estimate(study.ladders, None)
    assert len(walks) == len(widths)


def test_patterns_choose_the_layers_of_a_study_and_a_run_says_what_is_left_alone(tmp_path: Path) -> None:
    study, events = dense_study(replicates=1, levels=1, prunable=("!hidden2",)), list[Event]()
    report = run_study(study, tmp_path / "store", workers=1, on_event=events.append)
    assert not report.failures
    (made,) = [event for event in events if isinstance(event, NetworkMade)]
    assert made.facts == "prunes 2 of 3 matrices, 808 weights; leaves alone hidden2.weight (by prunable)"
    assert set(Store(tmp_path / "store").table()["prunable"]) == {64 * 12 + 4 * 10, 64 * 24 + 8 * 10}
    # A pattern must stand for something in one network at least: deeper ones have layers that others lack.
    axes = study.axes[0].model_copy(update={"depth": (3, 4)})
    deeper = replace(
        study, axes=(axes,), recipe=study.recipe.model_copy(update={"prunable": ("hidden1", "hidden3", "h?ds")})
    )
    with pytest.raises(InputError, match="must stand for matrices of the networks") as raised:
        run_study(deeper, tmp_path / "other", workers=1)
    some = replace(deeper, recipe=study.recipe.model_copy(update={"prunable": ("hidden1", "hidden3"), "levels": 0}))
    shallow = [ladder for ladder in some.ladders if ladder.cell.depth == 3]
    assert not run_study(some, tmp_path / "some", workers=1, ladders=shallow).failures
    (fault,) = raised.value.faults
    assert (fault.found, fault.hint[:25]) == ("h?ds", "They have hidden1.weight,")


def test_ladders_are_grouped_by_shape_and_steps_and_divided_evenly() -> None:
    study = mixed_study()
    (group,) = by_key(study.ladders).values()
    assert len(group) == 16
    fine = Study(
        "fine",
        study.axes,
        study.recipe,
        (Treatment(kind="imp"), Treatment(kind="imp", name="fine", rewind="fine-tuning"), Treatment(kind="dense")),
        replicates=2,
    )
    assert sorted(map(len, by_key(fine.ladders).values())) == [12]
    assert [len(cohort.ladders) for cohort in split("key", group, 3)] == [8, 8]  # of four networks that they begin with
    assert [ladder for cohort in split("key", group, 3) for ladder in cohort.ladders] == group
    alone = dense_study(replicates=16, widths=(0.04,)).ladders
    assert [len(cohort.ladders) for cohort in split("key", alone, 6)] == [6, 5, 5]
    assert split("key", [], 4) == []


def test_ways_part_above_rung_0_and_are_trained_in_parts_as_large_as_is_fastest() -> None:
    kinds = ({"kind": "imp"}, {"kind": "one-shot"}, {"kind": "imp", "name": "fine", "rewind": "fine-tuning"})
    treatments = tuple(map(Treatment.model_validate, (*kinds, {"kind": "narrow"})))
    study = replace(dense_study(replicates=3, widths=(0.04,)), treatments=treatments)
    (cohort,) = split("key", study.ladders, 3, 4)
    groups: dict[tuple[str, int], list[Ladder]] = {}
    for ladder in cohort.ladders:
        groups.setdefault(cohort.groups()[ladder.identity], []).append(ladder)
    assert {group: len(values) for group, values in groups.items()} == {
        ("", 0): 4,
        ("", 1): 2,
        ("fine-tuning", 0): 3,
        ("narrow", 0): 3,
    }
    halves = cohort.halves()
    assert [(len(half.ladders), half.together) for half in halves] == [(8, 2), (4, 2)]
    assert [(len(group.ladders), group.together) for group in halves[1].halves()] == [(2, 1), (2, 1)]


def test_a_gap_that_damage_has_left_is_filled_and_nothing_else_changes(unbroken: Store, tmp_path: Path) -> None:
    """The store of a finished study loses the shard of one rung, as `DamageError` tells its owner to delete it."""
    study = dense_study()
    store = Store(tmp_path / "store", create=True)
    for levels in range(4):  # one shard for each rung of a cohort
        run_study(dense_study(levels=levels), store, workers=1)
    lost = next(path for path in sorted((store.path / "rungs").iterdir()) if _rungs_in(path) == {1})
    lost.unlink()
    assert len(store.table()) == 21
    report = run_study(study, Store(store.path), workers=1)
    assert not report.failures
    assert rows(Store(store.path)) == rows(unbroken)
    assert sum(map(_rows_in, (store.path / "rungs").iterdir())) == 24  # none of the finished ones twice


def _rows_in(shard: Path) -> int:
    import duckdb

    with duckdb.connect() as connection:
        counted = connection.execute("select count(*) from read_parquet(?)", [str(shard)]).fetchone()
    assert counted is not None
    return int(counted[0])


def _rungs_in(shard: Path) -> set[int]:
    import duckdb

    with duckdb.connect() as connection:
        rungs = connection.execute("select distinct rung from read_parquet(?)", [str(shard)]).fetchall()
    return {rung for (rung,) in rungs}


def test_rows_of_ladders_that_share_an_identity_are_the_same(tmp_path: Path) -> None:
    """What a row says of a dense network depends on its recipe's rule of pruning; so does its identity."""
    axes, recipe = dense_study().axes, dense_study().recipe
    dense = (Treatment(kind="dense"),)
    one = Study("one", axes, recipe, dense, replicates=1)
    other = Study("other", axes, recipe.model_copy(update={"prunable": "all-but-output"}), dense, replicates=1)
    assert not {ladder.identity for ladder in one.ladders} & {ladder.identity for ladder in other.ladders}


def test_cohorts_of_a_store_stay_as_they_were_settled() -> None:
    study = dense_study(replicates=8)
    fresh = TaskSchedule(study.ladders, {}, 2)
    key = fresh.heaviest().key
    assert fresh.starts(key, CohortSettings(8, 1, 8, 1, 1.0)) == 8
    half_done = {ladder.identity: frozenset(range(4)) for ladder in study.ladders[:8]}
    again = TaskSchedule(study.ladders, half_done, 2)
    assert again.starts(key, CohortSettings(8, 1, 8, 1, 1.0)) == 8
    narrow = study.ladders[:16:2]  # four of each shape
    starts = [TaskSchedule(narrow, {}, hands).starts(key, CohortSettings(6, 1, 6, 1, 1.0)) for hands in (1, 2, 3)]
    assert starts == [4, 4, 2]
    fresh.add_cohorts(key, CohortSettings(3, 1, 3, 1, 1.0))
    task = fresh.next()
    while isinstance(task, TuneTask):
        task = fresh.next()
    assert isinstance(task, TrainTask)
    assert len(task.cohort.ladders) == 3
    fresh.put_back(task)
    halves = [fresh.next() for _ in range(6)]
    sizes = [len(half.cohort.ladders) for half in halves if isinstance(half, TrainTask)]
    assert sorted(sizes) == [1, 2, 2, 3]
