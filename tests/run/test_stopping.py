"""Runs that are to end in good order: rungs in training are finished and kept, and no other is begun."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import click
import pytest

from prunescope.cli.options import DURATION
from prunescope.run import run_study
from prunescope.run.events import CohortProgress, Event, RungFinished
from prunescope.run.stopping import Stop
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.study import El2n
from prunescope.table import Store
from tests.run.studies import children, dense_study, endless_study, lesson_study


@pytest.fixture(autouse=True)
def pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let cohorts have two networks, in whichever process."""
    monkeypatch.setattr(TuningCache, "of_machine", lambda self, key: CohortSettings(2, 1, 2, 1, 1e-4))


def test_time_is_over_by_the_runs_own_clock(tmp_path: Path) -> None:
    now = 0.0
    stop = Stop(after=60.0, clock=lambda: now)

    def on_event(event: Event) -> None:
        nonlocal now
        now += 25.0 if isinstance(event, RungFinished) else 0.0

    report = run_study(dense_study(), tmp_path / "store", workers=1, stop=stop, on_event=on_event)
    assert report.halted
    assert report.rungs == 3 * 2  # the third rung ends after 75 seconds


def test_a_stop_after_the_last_rung_is_none(tmp_path: Path) -> None:
    stop = Stop()

    def on_event(event: Event) -> None:
        if isinstance(event, RungFinished) and event.rung == 1:
            stop.ask()

    report = run_study(
        dense_study(replicates=1, levels=1, widths=(0.04,)), tmp_path / "store", workers=1, stop=stop, on_event=on_event
    )
    assert (report.halted, report.rungs) == (False, 2)


def test_scores_that_a_stop_cuts_short_are_computed_anew(tmp_path: Path) -> None:
    study = replace(
        lesson_study(replicates=1), el2n=El2n(networks=3, epoch=1), treatments=(lesson_study().treatments[-1],)
    )
    store, stop = Store(tmp_path / "store", create=True), Stop()

    def on_event(event: Event) -> None:
        if isinstance(event, CohortProgress):
            stop.ask()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prunescope.run.progress_reporter.REPORT_INTERVAL", 0.0)
        halted = run_study(study, store, workers=1, stop=stop, on_event=on_event)
    assert (halted.halted, halted.scored) == (True, 0)
    assert not halted.elsewhere
    again = run_study(study, store, workers=1)
    assert (again.halted, again.scored) == (False, 2)


def test_sigterm_ends_a_run_and_its_workers_in_good_order(tmp_path: Path) -> None:
    study = endless_study()
    path, store = tmp_path / "study.toml", tmp_path / "store"
    path.write_text(study.to_toml())
    command = [sys.executable, "-m", "prunescope", "run", str(path), "--store", str(store), "--workers", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        while process.poll() is None and not ((store / "store.json").exists() and Store(store).done()):
            time.sleep(0.05)
        workers = children(process.pid)
        assert workers
        for worker in workers:
            os.kill(worker, signal.SIGTERM)  # as what signals every process of a job does
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate()
    assert process.returncode == 75, output
    assert "another SIGTERM stops at once" in output
    assert "failed" not in output
    assert Store(store).running() == frozenset()
    assert not list((store / "claims").glob("*.lease"))  # each was let go, none waits to expire


@pytest.mark.parametrize(
    ("words", "seconds"), [("3h30m", 12_600), ("90m", 5_400), ("45", 45), ("2d", 172_800), ("1.5h", 5_400)]
)
def test_times_are_read(words: str, seconds: float) -> None:
    assert DURATION.convert(words, None, None) == seconds


@pytest.mark.parametrize("words", ["", "soon", "0", "-5m", "3h 30m", "5x"])
def test_what_is_no_time_is_refused(words: str) -> None:
    with pytest.raises(click.BadParameter, match="such as 3h30m"):
        DURATION.convert(words, None, None)
