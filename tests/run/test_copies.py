"""Copies of one run on one store, killed, stopped and deceived: every rung once, with the numbers of a single run."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prunescope.run import run_study
from prunescope.run.events import (
    CohortFinished,
    Event,
    LadderFailed,
    LaddersElsewhere,
    LaddersFreed,
    Lost,
    RungFinished,
)
from prunescope.run.stopping import Stop
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.study import Study
from prunescope.table import Store, conflicts
from prunescope.table.leases import walk
from tests.run.studies import dense_study, lesson_study, rows


@pytest.fixture(autouse=True)
def pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TuningCache, "of_machine", lambda self, key: CohortSettings(2, 1, 2, 1, 1e-4))


class Copies:
    """Four runs of one study on one store."""

    def __init__(self, study: Study, folder: Path, shims: tuple[str, ...]) -> None:
        folder.mkdir()
        self.study, self.store = folder / "study.toml", Store(folder / "store", create=True)
        self.study.write_text(study.to_toml())
        self._shims = shims
        self.running = [self._start() for _ in range(4)]

    def _start(self) -> subprocess.Popen[bytes]:
        arguments = [str(self.study), str(self.store.path), *self._shims]
        return subprocess.Popen([sys.executable, "-m", "tests.run.copies", *arguments])

    def rungs(self) -> int:
        return sum(map(len, Store(self.store.path).done().values()))

    def wait_for(self, rungs: int) -> None:
        """Wait until there are more rungs, starting again what ended before its time."""
        while self.rungs() < rungs:
            self.revive()
            time.sleep(0.02)

    def revive(self) -> None:
        self.running = [run if run.poll() in (None, 0) else self._start() for run in self.running]

    def end(self) -> None:
        for run in self.running:
            run.kill()
            run.wait()


@pytest.mark.parametrize(
    ("replicates", "levels", "kills", "shims"),
    [
        (4, 2, 3, ("locks", "listings")),
        (12, 2, 5, ()),
        pytest.param(100, 2, 30, (), marks=pytest.mark.long),
        pytest.param(100, 2, 30, ("locks",), marks=pytest.mark.long),
        pytest.param(100, 2, 30, ("listings",), marks=pytest.mark.long),
    ],
)
def test_copies_that_are_killed_and_stopped_train_each_rung_once(
    tmp_path: Path, replicates: int, levels: int, kills: int, shims: tuple[str, ...]
) -> None:
    study = dense_study(replicates=replicates, levels=levels, epochs=3)
    whole, rungs = Store(tmp_path / "whole", create=True), 2 * replicates * (levels + 1)
    run_study(study, whole, workers=1, copies=4)
    assert sum(map(len, whole.done().values())) == rungs
    for attempt in range(10):
        copies = Copies(study, tmp_path / f"{attempt}", shims)
        try:
            disturbed = _disturb(copies, rungs, kills)
        finally:
            copies.end()
        if disturbed:
            break
    else:
        pytest.fail("each time all was trained before a run could be stopped")
    assert rows(copies.store) == rows(whole)
    assert conflicts(copies.store) == ()
    assert copies.store.failures() == ()
    copies.store.leases.tidy()
    assert not list((copies.store.path / "claims").iterdir())


def _disturb(copies: Copies, rungs: int, kills: int) -> bool:
    """Kill runs, and stop one that holds a ladder, until all is trained; return whether one could be stopped."""
    chance = random.Random(1)
    stopped: list[subprocess.Popen[bytes]] = []
    for kill in range(kills):
        copies.wait_for(rungs * (kill + 1) // (kills + 3))
        if kill == kills // 2:
            held = _stop_one_that_holds_a_ladder(copies, rungs)
            if held is None:
                return False
            stopped.append(held)
        chance.choice([run for run in copies.running if run not in stopped]).kill()
    copies.wait_for(rungs)  # of the ladder that the stopped one holds as well: others take it over
    stopped[0].send_signal(signal.SIGCONT)
    while any(run.wait() for run in copies.running):  # 3: all that was left was another's
        copies.revive()
    return True


def _stop_one_that_holds_a_ladder(copies: Copies, rungs: int) -> subprocess.Popen[bytes] | None:
    """Stop a run in the middle of a ladder; return None where all rungs are trained before one is caught."""
    while copies.rungs() < rungs:
        copies.revive()
        by_pid = {run.pid: run for run in copies.running}
        for name, owner in copies.store.leases.holders().items():
            run = by_pid.get(owner.pid)
            if run is not None and run.poll() is None:
                run.send_signal(signal.SIGSTOP)
                chain = walk(copies.store.path / "claims", name)
                if chain and chain[-1].owner == owner:
                    return run
                run.send_signal(signal.SIGCONT)
    return None


HOLD = (
    "import sys, os; from prunescope.table import Store\n"
    "with Store(sys.argv[1], expiry=float(sys.argv[2])).claim_all(sys.argv[3:]):\n"
    "    print('held', flush=True); sys.stdin.read()"
)


def hold(store: Store, expiry: float, *ladders: str) -> subprocess.Popen[str]:
    """Hold ladders in another process."""
    command = [sys.executable, "-c", HOLD, str(store.path), str(expiry), *ladders]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_a_run_takes_over_what_another_leaves_also_while_it_waits(tmp_path: Path, end: signal.Signals) -> None:
    """A ladder that others learn from is held; it and its pupils are trained once its holder is gone."""
    study, store, events = lesson_study(replicates=1), Store(tmp_path / "store", create=True), list[Event]()
    teacher = next(ladder for ladder in study.ladders if ladder.teaches)
    with hold(store, 2.0, teacher.identity) as other:

        def on_event(event: Event) -> None:
            events.append(event)
            if isinstance(event, LaddersElsewhere) and teacher.identity in event.identities:
                other.send_signal(end)

        report = run_study(study, store, workers=1, on_event=on_event)
        other.kill()
    assert (report.failures, report.elsewhere) == ([], 0)
    assert report.rungs == sum(ladder.rungs for ladder in study.ladders)
    freed = [event for event in events if isinstance(event, LaddersFreed)]
    left = [event for event in events if isinstance(event, LaddersElsewhere)]
    assert sum(event.work for event in freed) == sum(event.work for event in left)


def test_what_a_run_loses_while_it_is_stopped_it_does_not_write(tmp_path: Path) -> None:
    study, store, stop = dense_study(replicates=1), Store(tmp_path / "store", create=True), Stop()
    first, taken, events = study.ladders[0].identity, list[Path](), list[Event]()

    def on_event(event: Event) -> None:
        events.append(event)
        chain = walk(store.path / "claims", first)
        if isinstance(event, RungFinished) and chain and not taken:
            # As if this process had been stopped for long: a run on another machine has taken the ladder over.
            owner = replace(chain[-1].owner, token="e" * 32, kernel="", expiry=3600.0)
            taken.append(store.path / "claims" / f"{first}.{chain[-1].owner.token}.lease")
            taken[0].write_bytes(owner.content())
        if sum(isinstance(event, CohortFinished) for event in events) == 2:
            stop.ask()  # rather than wait for a sign of life of that run

    report = run_study(study, store, workers=1, stop=stop, on_event=on_event)
    assert store.done().keys() == {study.ladders[1].identity}
    assert (report.failures, report.elsewhere) == ([], 1)
    assert [event.identities for event in events if isinstance(event, LaddersElsewhere)] == [(first,)]
    (lost,) = [event for event in events if isinstance(event, Lost)]
    assert lost.work == sum(event.work for event in events if isinstance(event, RungFinished)) / 2
    assert taken[0].exists()  # it was not let go: it is another's


def test_a_ladder_that_always_crashes_its_process_is_given_up_and_its_neighbours_finish(tmp_path: Path) -> None:
    """Runs without workers, as on a GPU: each death takes a whole run along."""
    study, store = dense_study(replicates=4, levels=1, widths=(0.04,)), Store(tmp_path / "store", create=True)
    culprit = study.ladders[1]
    path = tmp_path / "study.toml"
    path.write_text(study.to_toml())
    program = (
        "import os, sys; from prunescope.train import rung; from prunescope.run import ladder_runner, run_study\n"
        "from prunescope.run.tuning_cache import CohortSettings, TuningCache\n"
        "from prunescope.study import read_study\n"
        "train = ladder_runner.train_started\n"
        "def crashing(networks, *rest):\n"
        "    if any(start.state.ladder.identity == sys.argv[3] for start in networks): os.kill(os.getpid(), 9)\n"
        "    return train(networks, *rest)\n"
        "ladder_runner.train_started = crashing\n"
        "TuningCache.of_machine = lambda *_: CohortSettings(4, 1, 4, 1, 1e-4)\n"
        "report = run_study(read_study(sys.argv[1]), sys.argv[2], workers=1)\n"
        "print(*(failure.reason for failure in report.failures))"
    )
    deaths, done = 0, None
    while done is None or done.returncode:
        assert deaths <= 4
        command = [sys.executable, "-c", program, str(path), str(store.path), culprit.identity]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        deaths += done.returncode == -9
    assert deaths == 4  # twice in company, twice alone
    assert "died 2 times while it trained this ladder alone" in done.stdout
    assert store.done().keys() == {ladder.identity for ladder in study.ladders} - {culprit.identity}
    (failure,) = store.failures()
    assert failure.ladder == culprit.identity
    assert run_study(study, store, workers=1).rungs == 2  # what is given up a later run tries anew


def test_cohorts_are_small_enough_for_all_copies(tmp_path: Path) -> None:
    study = dense_study(replicates=16, levels=0, widths=(0.04,))
    for copies, expected in ((1, 1), (4, 4), (16, 16)):
        events: list[Event] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TuningCache, "of_machine", lambda self, key: CohortSettings(16, 1, 16, 1, 1e-4))
            run_study(study, tmp_path / str(copies), workers=1, copies=copies, on_event=events.append)
        assert len({event.cohort for event in events if isinstance(event, RungFinished)}) == expected
        assert not [event for event in events if isinstance(event, LadderFailed)]
    tables = [Store(tmp_path / str(copies)).table() for copies in (1, 16)]
    assert np.array_equal(tables[0]["test_error"], tables[1]["test_error"])
