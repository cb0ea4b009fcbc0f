"""Studies in which something fails: it is told in words, and what can be trained is trained."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from prunescope.errors import InputError, PrunescopeError
from prunescope.run import run_study
from prunescope.run.events import (
    Event,
    LadderFailed,
    RungFinished,
    TuningFailed,
)
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.study import Study
from prunescope.study.sections import Axes, Recipe, Treatment
from prunescope.table import Store
from prunescope.train.ladder import LadderRungs
from tests.run.studies import dense_study, rows, trained

pytestmark = pytest.mark.usefixtures("whole_cohorts")


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
