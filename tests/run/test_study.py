"""Studies trained for real: the same numbers however they are run, stopped and taken up again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prunescope.data import load
from prunescope.errors import InputError, PrunescopeError
from prunescope.nets import network
from prunescope.nets.cohort import Layout
from prunescope.nets.outline import Outline, outline
from prunescope.run import run_study
from prunescope.run.artifacts import read_masks, read_weights
from prunescope.run.cohorts import by_key, split
from prunescope.run.estimate import estimate
from prunescope.run.events import (
    ArtifactsMissing,
    Event,
    EventHandler,
    LadderFailed,
    NetworkMade,
    RungFinished,
    TuningFailed,
)
from prunescope.run.ladder_runner import RunSettings, context_for
from prunescope.run.task_runner import TrainTask, TuneTask
from prunescope.run.task_schedule import TaskSchedule
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.study import Ladder, Study, effort
from prunescope.study.sections import Axes, Keep, Recipe, Treatment
from prunescope.table import Store, merge
from prunescope.table.arrays import StoredOutcomes
from prunescope.train.ladder import LadderRungs
from tests.run.studies import dense_study, mixed_study, rows


def trained(study: Study, path: Path, workers: int = 1) -> Store:
    """Return the store of a study that was trained without a break."""
    report = run_study(study, path, workers=workers)
    assert not report.failures
    assert report.rungs == sum(ladder.rungs for ladder in study.ladders)
    assert report.networks == effort(study.ladders).networks
    return Store(path)


@pytest.fixture(autouse=True)
def whole_cohorts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process train all ladders of a shape together, whatever is fastest on a machine as busy as it may be."""
    monkeypatch.setattr(TuningCache, "of_machine", lambda self, key: CohortSettings(64, 1, 64, 1, 1e-4))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return trained(dense_study(), tmp_path_factory.mktemp("unbroken") / "store")


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


def test_a_ladder_that_fails_is_noted_and_the_others_go_on(
    unbroken: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, store = dense_study(), Store(tmp_path / "store", create=True)
    victim = study.ladders[1]
    leave = LadderRungs.leave

    def failing(self: LadderRungs, rung: int, *rest: object) -> object:
        if self.ladder.identity == victim.identity and rung == 1:
            raise PrunescopeError("made to fail")
        return leave(self, rung, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(LadderRungs, "leave", failing)
        report = run_study(study, store, workers=1)
    assert [(failure.ladder, failure.rung, failure.reason) for failure in report.failures] == [
        (victim.identity, 1, "made to fail")
    ]
    assert [failure.words for failure in store.failures()] == ["made to fail"]
    wanted = {key: row for key, row in rows(unbroken).items() if key[0] != victim.identity or key[1] < 1}
    assert rows(store) == wanted
    run_study(study, store, workers=1)
    assert rows(store) == rows(unbroken)


def test_a_worker_that_is_interrupted_goes_on_until_its_run_ends_it(
    unbroken: Store, tmp_path: Path, started: Callable[[], list[int]]
) -> None:
    interrupted = 0

    def on_event(event: Event) -> None:
        nonlocal interrupted
        if isinstance(event, RungFinished):
            for child in started():
                os.kill(child, signal.SIGINT)
                interrupted += 1

    report = run_study(dense_study(), tmp_path / "store", workers=2, on_event=on_event)
    assert interrupted > 4
    assert not report.failures
    assert rows(Store(tmp_path / "store")) == rows(unbroken)


def test_a_worker_that_always_dies_makes_its_ladders_fail_in_words(
    tmp_path: Path, started: Callable[[], list[int]]
) -> None:
    def on_event(event: Event) -> None:
        if not isinstance(event, LadderFailed):
            for child in started():
                os.kill(child, signal.SIGKILL)

    report = run_study(dense_study(replicates=1), tmp_path / "store", workers=2, on_event=on_event)
    assert {"its worker process was killed by SIGKILL" in failure.reason for failure in report.failures} == {True}


def test_ladders_that_another_process_is_at_are_left_to_it(tmp_path: Path) -> None:
    study, store = dense_study(), Store(tmp_path / "store", create=True)
    with store.claim(study.ladders[0].identity):
        report = run_study(study, store, workers=1)
        assert report.elsewhere == 1
        assert study.ladders[0].identity not in store.done()
    assert run_study(study, store, workers=1).rungs == 4


def test_kept_weights_give_the_error_of_the_row(tmp_path: Path) -> None:
    import torch

    study = mixed_study()
    store = Store(tmp_path / "store", create=True)
    run_study(study, store, workers=1, keep_weights=True)
    data = load("digits")
    table = store.table()
    for ladder in study.ladders[:4]:
        net = network(ladder.cell.family, 8, ladder.cell.width, data.classes, data.shape)
        context = context_for(ladder, data, Layout(), RunSettings("mixed"))
        for rung in range(ladder.rungs):
            weights = read_weights(store, ladder, rung, net)
            engine = context.engine(context.stacked([weights]), {})
            places = torch.arange(len(data.test_labels)).unsqueeze(0)
            examples = engine.examples(context.test_pictures, places)
            logits = engine.logits(examples.take(places))[0]
            error = float((logits.argmax(-1).numpy() != data.test_labels).mean())
            chosen = (table["ladder"] == ladder.identity) & (table["rung"] == rung)
            assert table["test_error"][chosen] == pytest.approx(error, abs=0.003)
            survivors = sum(int((weights[layer.name] != 0).sum()) for layer in net.outline.prunable("all"))
            assert survivors <= int(table["kept"][chosen][0])


def test_a_study_keeps_the_rungs_that_it_names(tmp_path: Path) -> None:
    study = replace(dense_study(replicates=1, widths=(0.04,)), keep=(0, 2))
    ladder, data = study.ladders[0], load("digits")
    net = network("lenet", 3, 0.04, data.classes, data.shape)
    chosen, every = Store(tmp_path / "chosen", create=True), Store(tmp_path / "every", create=True)
    run_study(study, chosen, workers=1)
    run_study(study, every, workers=1, keep_weights=True)
    assert rows(chosen) == rows(every)
    for rung in range(4):
        wanted = read_weights(every, ladder, rung, net)
        if rung in (0, 2):
            weights = read_weights(chosen, ladder, rung, net)
            assert all(np.array_equal(weights[name], wanted[name]) for name in wanted)
        else:
            with pytest.raises(InputError, match="under `keep` in the study"):
                read_weights(chosen, ladder, rung, net)
    estimates = [estimate(study.ladders, None, keep=keep) for keep in ("none", (0, 2), "all")]
    assert (estimates[0].disk or 0) < (estimates[1].disk or 0) < (estimates[2].disk or 0)
    assert {event.disk_with_weights for event in estimates} == {estimates[2].disk}


def test_kept_examples_add_up_to_the_row(tmp_path: Path) -> None:
    study = dense_study(replicates=1, levels=1)
    store = Store(tmp_path / "store", create=True)
    run_study(study, store, workers=1, keep_examples=True)
    table = store.table()
    for ladder, rung, loss, error in zip(
        table["ladder"], table["rung"], table["train_loss"], table["train_error"], strict=True
    ):
        arrays = store.read_arrays("examples", ladder, int(rung))
        assert arrays["loss"].mean() == pytest.approx(loss, rel=1e-5)
        assert (~arrays["right"]).mean() == pytest.approx(error)
        assert len(set(arrays["index"].tolist())) == 400


def test_a_study_keeps_the_outcomes_of_the_rungs_that_it_names(tmp_path: Path) -> None:
    study = replace(mixed_study(), keep_examples=(0, 2))
    chosen, plain = Store(tmp_path / "chosen", create=True), trained(mixed_study(), tmp_path / "plain")
    run_study(study, chosen, workers=1)
    assert rows(chosen) == rows(plain)
    for ladder in study.ladders:
        assert set(chosen.array_names("examples", ladder.identity)) == {0, 2}
        assert not plain.array_names("examples", ladder.identity)
    events: list[Event] = []
    run_study(replace(study, keep_examples="all"), chosen, workers=1, on_event=events.append)
    missing = [event for event in events if isinstance(event, ArtifactsMissing)]
    assert missing == [ArtifactsMissing("outcomes on examples", len(study.ladders))]  # all of rung 1, changed too late


def test_a_study_keeps_which_test_examples_are_right_of_the_rungs_that_it_names(tmp_path: Path) -> None:
    study = replace(mixed_study(), keep_test_examples=(0, 2))
    chosen, plain = Store(tmp_path / "chosen", create=True), trained(mixed_study(), tmp_path / "plain")
    run_study(study, chosen, workers=1)
    assert rows(chosen) == rows(plain)
    table = chosen.table()
    places = list(zip(table["ladder"].tolist(), table["rung"].tolist(), strict=True))
    kept = [place for place in places if place[1] in (0, 2)]
    outcomes = StoredOutcomes(chosen.path)
    stored = outcomes.of(kept)
    assert stored is not None
    assert stored[1] == study.ladders[0].facts.test
    right = np.unpackbits(stored[0], axis=1, count=stored[1])
    errors = dict(zip(places, table["test_error"].tolist(), strict=True))
    assert (1 - right.mean(axis=1)).tolist() == pytest.approx([errors[place] for place in kept], abs=1e-12)
    assert outcomes.of(places) is None  # rung 1 was not kept
    assert plain.table().stored_outcomes is not None
    assert StoredOutcomes(plain.path).of(places[:1]) is None
    files = [file.stat().st_size for file in (chosen.path / "test_examples").rglob("*.safetensors")]
    counts = [estimate(study.ladders, None, keep_test_examples=keep).disk or 0 for keep in ("none", (0, 2))]
    assert counts[1] - counts[0] == pytest.approx(sum(files), rel=0.2)
    events: list[Event] = []
    run_study(replace(study, keep_test_examples="all"), chosen, workers=1, on_event=events.append)
    missing = [event for event in events if isinstance(event, ArtifactsMissing)]
    assert missing == [ArtifactsMissing("outcomes on test examples", len(study.ladders))]


def test_a_plan_counts_the_outcomes_that_a_study_keeps(tmp_path: Path) -> None:
    study = mixed_study()

    def kept_on_disk(keep: Keep) -> tuple[int, ...]:
        estimated = estimate(study.ladders, None, keep_examples=keep)
        assert estimated.disk is not None
        assert estimated.disk_with_weights is not None
        return estimated.disk, estimated.disk_with_weights

    none, some, every = kept_on_disk("none"), kept_on_disk((0, 2)), kept_on_disk("all")
    assert [values - before for values, before in zip(some, none, strict=True)] == [
        2 * (values - before) for values, before in zip(every, some, strict=True)
    ]
    store = Store(tmp_path / "store", create=True)
    run_study(study, store, workers=1, keep_examples=True)
    files = (store.path / "examples").rglob("*.safetensors")
    assert every[0] - none[0] == pytest.approx(sum(file.stat().st_size for file in files), rel=0.5)


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


def test_what_cannot_be_trained_is_told_before_anything_is(tmp_path: Path) -> None:
    axes = Axes(dataset=("digits",), family=("lenet",), depth=(3,), width=(0.1,))
    recipe = Recipe(epochs=1, batch=32, learning_rate=0.1, levels=1)
    wide = Axes(dataset=("digits",), family=("tests.run.studies:wide_alone",), depth=(3,), width=(1.0,))
    with pytest.raises(InputError, match=r"must make a network of depth 3, width 0\.8"):
        run_study(Study("narrow", (wide,), recipe, (Treatment(kind="narrow"),), replicates=1), tmp_path / "a")
    scored = Study("scored", (axes,), recipe, (Treatment(kind="imp", score="nowhere.scores:mine"),), replicates=1)
    with pytest.raises(InputError, match="No module named 'nowhere'"):
        run_study(scored, tmp_path / "b")
    other = Axes(dataset=("mnist",), family=("lenet",), depth=(3,), width=(0.1,))
    with pytest.raises(InputError, match="nowhere"):
        run_study(Study("missing", (other,), recipe, replicates=1), tmp_path / "c", data=tmp_path / "nowhere")
    with pytest.raises(PrunescopeError, match="device 'gpu'"):
        run_study(dense_study(), tmp_path / "d", device="gpu")
    with pytest.raises(InputError, match="workers: must be 1 or more"):
        run_study(dense_study(), tmp_path / "e", workers=0)
    assert not list(tmp_path.iterdir())


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


def test_a_ladder_without_its_checkpoint_fails_in_words(tmp_path: Path) -> None:
    store = trained(dense_study(replicates=1, levels=1), tmp_path / "store")
    for file in (store.path / "checkpoints").glob("*/*"):
        file.unlink()
    report = run_study(dense_study(replicates=1), store, workers=1)
    assert {"copy it from the store that trained them" in failure.reason for failure in report.failures} == {True}
    assert len(report.failures) == 2


def test_a_ladder_without_the_weights_that_it_goes_back_to_fails_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prunescope.run.ladder_runner.WRITE_INTERVAL", -1.0)  # each rung gets a file of its own
    store = trained(dense_study(replicates=1, levels=1), tmp_path / "store")
    for file in (store.path / "checkpoints").glob("*/0000.*"):
        file.unlink()
    report = run_study(dense_study(replicates=1), store, workers=1)
    assert {"copy it from the store that trained them" in failure.reason for failure in report.failures} == {True}
    assert len(report.failures) == 2


def test_stores_that_kept_different_things_of_the_same_rungs_are_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has a file for each rung, the other one for all rungs and weights."""
    study = dense_study(replicates=1, levels=2, widths=(0.04,))
    with monkeypatch.context() as patch:
        patch.setattr("prunescope.run.ladder_runner.WRITE_INTERVAL", -1.0)
        plain = trained(study, tmp_path / "plain")
    rich = Store(tmp_path / "rich", create=True)
    run_study(study, rich, workers=1, keep_weights=True)
    before = rows(plain)
    assert merge(plain, [rich]) == 0
    assert rows(plain) == before
    (ladder,) = study.ladders
    data = load("digits")
    net = network("lenet", 3, ladder.cell.width, data.classes, data.shape)
    for rung in range(3):
        wanted, merged = (read_weights(store, ladder, rung, net) for store in (rich, plain))
        assert wanted.keys() == merged.keys()
        assert all(np.array_equal(values, merged[name]) for name, values in wanted.items())
    whole = trained(dense_study(replicates=1, widths=(0.04,)), tmp_path / "whole")
    run_study(dense_study(replicates=1, widths=(0.04,)), plain, workers=1)
    assert rows(plain) == rows(whole)


def test_a_shape_that_cannot_be_measured_is_told_and_trained_all_the_same(
    unbroken: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> CohortSettings:
        raise MemoryError("no room to measure in")

    monkeypatch.setattr(TuningCache, "of_machine", lambda self, key: None)
    monkeypatch.setattr("prunescope.run.task_runner.choose", failing)
    monkeypatch.setattr("prunescope.run.study_run.cores", lambda: 2)
    events: list[Event] = []
    run_study(dense_study(), tmp_path / "store", on_event=events.append)
    failures = [event for event in events if isinstance(event, TuningFailed)]
    assert all(event.reason.startswith("MemoryError: no room to measure in") for event in failures)
    assert failures[0].instead == "this process trains without workers"
    assert len(failures) == 3  # the heaviest shape before there is a crew, then both
    assert rows(Store(tmp_path / "store")) == rows(unbroken)


def test_a_ladder_that_runs_out_of_weights_fails_alone_and_in_words(tmp_path: Path) -> None:
    study = dense_study(replicates=1, levels=40, widths=(0.04,), pruning_fraction=0.5)
    report = run_study(study, tmp_path / "store", workers=1)
    assert "keeps none of" in report.failures[0].reason
    table = Store(tmp_path / "store").table()
    assert table["kept"].min() >= 1
    assert len(table) == report.failures[0].rung


def test_rows_of_ladders_that_share_an_identity_are_the_same(tmp_path: Path) -> None:
    """What a row says of a dense network depends on its recipe's rule of pruning; so does its identity."""
    axes, recipe = dense_study().axes, dense_study().recipe
    dense = (Treatment(kind="dense"),)
    one = Study("one", axes, recipe, dense, replicates=1)
    other = Study("other", axes, recipe.model_copy(update={"prunable": "all-but-output"}), dense, replicates=1)
    assert not {ladder.identity for ladder in one.ladders} & {ladder.identity for ladder in other.ladders}


def test_a_listener_that_fails_ends_the_run_with_its_own_error(tmp_path: Path) -> None:
    def on_event(event: Event) -> None:
        if isinstance(event, RungFinished):
            raise BrokenPipeError("nobody reads")

    with pytest.raises(BrokenPipeError):
        run_study(dense_study(), tmp_path / "store", workers=1, on_event=on_event)
    store = Store(tmp_path / "store")
    assert not store.failures()
    assert len(store.table()) == 3


def test_pictures_cannot_be_moved_where_a_network_takes_rows(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be none for lenet"):
        run_study(dense_study(augment="flip-crop"), tmp_path / "store")


def test_weights_that_were_not_kept_are_told(unbroken: Store) -> None:
    ladder = dense_study().ladders[0]
    data = load("digits")
    net = network("lenet", 3, ladder.cell.width, data.classes, data.shape)
    with pytest.raises(InputError, match="--keep-weights"):
        read_weights(unbroken, ladder, 1, net)
    table = unbroken.table()
    for rung in range(4):
        chosen = (table["ladder"] == ladder.identity) & (table["rung"] == rung)
        assert read_masks(unbroken, ladder, rung, net).kept == table["kept"][chosen][0]


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
