"""What holds for each executor: the run's own process, worker processes, and the workers of a Dask cluster."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prunescope.run import run_study
from prunescope.run.events import CohortFinished, Event, Lost, RungFinished, RunStarted, Written
from prunescope.run.stopping import Stop
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.study import Study
from prunescope.table import Store
from prunescope.table.remote import Remote, pull, push
from tests.run.dask_clusters import Running, running
from tests.run.studies import children, dense_study, lesson_study, rows

EXECUTORS = ("own process", "worker processes", "dask")


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("dask")) as cluster:
        yield cluster


@pytest.fixture(params=EXECUTORS)
def executor(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Options of `run_study` that choose an executor."""
    if request.param == "dask":
        return {"cluster": request.getfixturevalue("dask").connected()}
    return {"workers": 1 if request.param == "own process" else 2}


@pytest.fixture(autouse=True)
def pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let cohorts have two networks, whatever is measured in whichever process."""
    monkeypatch.setattr(TuningCache, "of_store", lambda self, key: CohortSettings(2, 1, 2, 1, 1e-4, starts=2))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Rows of studies that one process trains without a break."""
    measured = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TuningCache, "of_store", lambda self, key: CohortSettings(2, 1, 2, 1, 1e-4, starts=2))
        for study in (dense_study(), lesson_study(replicates=1)):
            store = Store(tmp_path_factory.mktemp("whole") / "store", create=True)
            assert not run_study(study, store, workers=1).failures
            measured[study.name] = rows(store)
    return measured


@pytest.mark.parametrize("study", [dense_study(), lesson_study(replicates=1)], ids=lambda study: study.name)
def test_each_trains_the_same_and_reports_it(
    study: Study, executor: dict[str, Any], whole: dict[str, Any], tmp_path: Path
) -> None:
    store, events = Store(tmp_path / "store", create=True), list[Event]()
    report = run_study(study, store, on_event=events.append, **executor)
    assert (report.failures, report.elsewhere, report.halted) == ([], 0, False)
    assert rows(store) == whole[study.name]
    (started,) = [event for event in events if isinstance(event, RunStarted)]
    done = [event for event in events if isinstance(event, RungFinished)]
    assert sum(event.work for event in done) == started.left
    assert sum(event.rungs for event in events if isinstance(event, Written)) == report.rungs == len(rows(store))
    assert {event.cohort for event in done} <= {event.cohort for event in events if isinstance(event, CohortFinished)}
    assert not list((store.path / "claims").iterdir())
    again = run_study(study, store, **executor)
    assert (again.rungs, again.networks) == (0, 0)


def test_with_each_a_ladder_that_fails_is_named_and_a_run_may_end_at_the_first(
    executor: dict[str, Any], tmp_path: Path
) -> None:
    study = dense_study(replicates=2, levels=1, learning_rate=1e30)
    report = run_study(study, tmp_path / "store", **executor)
    assert {failure.ladder for failure in report.failures} == {ladder.identity for ladder in study.ladders}
    assert all("diverged" in failure.reason for failure in report.failures)
    assert len(Store(tmp_path / "store").failures()) == len(study.ladders)
    fast = run_study(study, tmp_path / "fast", fail_fast=True, **executor)
    assert fast.stopped
    assert len(fast.failures) == 1


def test_with_each_a_stop_keeps_what_is_trained_and_a_run_goes_on(
    executor: dict[str, Any], whole: dict[str, Any], tmp_path: Path
) -> None:
    store, stop, before = Store(tmp_path / "store", create=True), Stop(), children(os.getpid())

    def on_event(event: Event) -> None:
        if isinstance(event, RungFinished):
            stop.ask()

    study = dense_study()
    report = run_study(study, store, stop=stop, on_event=on_event, **executor)
    assert report.halted
    assert 0 < report.rungs == sum(map(len, store.done().values()))
    assert not list((store.path / "claims").iterdir())
    assert set(children(os.getpid())) == set(before)
    assert run_study(study, store, **executor).rungs == len(whole["dense"]) - report.rungs
    assert rows(store) == whole["dense"]


def test_with_each_an_error_of_the_callback_ends_the_run_and_lets_all_ladders_go(
    executor: dict[str, Any], tmp_path: Path
) -> None:
    def on_event(event: Event) -> None:
        if isinstance(event, RungFinished):
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        run_study(dense_study(epochs=20, levels=5), tmp_path / "store", on_event=on_event, **executor)
    store = Store(tmp_path / "store")
    assert not store.running()


@pytest.mark.parametrize("executor", EXECUTORS[1:], indirect=True)
def test_workers_that_are_killed_cost_nothing_but_time(
    executor: dict[str, Any],
    whole: dict[str, Any],
    tmp_path: Path,
    started: Callable[[], list[int]],
    request: pytest.FixtureRequest,
) -> None:
    store, events, killed = Store(tmp_path / "store", create=True), list[Event](), list[int]()

    def on_event(event: Event) -> None:
        events.append(event)
        if isinstance(event, RungFinished) and not killed:
            if "cluster" in executor:
                killed.extend(request.getfixturevalue("dask").signal(signal.SIGKILL))
            else:
                killed.extend(started())
                for child in killed:
                    os.kill(child, signal.SIGKILL)

    report = run_study(dense_study(), store, on_event=on_event, **executor)
    assert killed
    assert not report.failures
    assert rows(store) == whole["dense"]
    lost = sum(event.work for event in events if isinstance(event, Lost))
    done = sum(event.work for event in events if isinstance(event, RungFinished))
    assert done - lost == next(event for event in events if isinstance(event, RunStarted)).left


def test_a_store_is_pushed_after_each_cohort(tmp_path: Path, whole: dict[str, Any]) -> None:
    calls, there, store = list[int](), Remote(f"memory://{tmp_path.name}"), Store(tmp_path / "store", create=True)

    def after_cohort() -> None:
        calls.append(push(store, there).files)

    run_study(dense_study(), store, workers=1, after_cohort=after_cohort)
    assert len(calls) == 4
    assert all(calls)
    other = Store(tmp_path / "other", create=True)
    pull(other, there)
    assert rows(other) == whole["dense"]
