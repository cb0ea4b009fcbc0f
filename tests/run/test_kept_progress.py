"""A rung that takes long is kept now and then: after a kill it goes on from there, with the numbers of one that did."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from prunescope.run import run_study
from prunescope.run.events import CohortProgress, Event
from prunescope.run.kept_progress import FOLDER, StoredProgress
from prunescope.run.stopping import Stop
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.study import El2n, Study, ensembles
from prunescope.table import Claim, Store
from prunescope.train import RungProgress
from prunescope.train.engine import AutogradEngine
from tests.run.studies import mixed_study, rows


@pytest.fixture(autouse=True)
def one_cohort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TuningCache, "of_machine", lambda self, key: CohortSettings(8, 1, 8, 1, 1e-3))


def study() -> Study:
    whole = mixed_study(levels=1)
    return replace(whole, treatments=whole.treatments[:2], replicates=1)


class Whole(NamedTuple):
    """What a run is that nobody interrupts."""

    rows: Mapping[tuple[str, int], object]
    steps: int


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    store = Store(tmp_path_factory.mktemp("whole") / "store", create=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TuningCache, "of_machine", lambda self, key: CohortSettings(8, 1, 8, 1, 1e-3))
        steps = steps_of(patch)
        assert run_study(study(), store, workers=1).failures == []
    assert not list((store.path / FOLDER).iterdir())
    return Whole(rows(store), len(steps))


PROGRAM = """
import os, signal, sys
from prunescope.run import run_study
from prunescope.run.events import CohortProgress, Event
from prunescope.run.kept_progress import StoredProgress
from prunescope.run.stopping import Stop
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from tests.run.test_kept_progress import study
TuningCache.of_machine = lambda self, key: CohortSettings(8, 1, 8, 1, 1e-3)
plain, count = StoredProgress.keep, 0
def keep(self, progress):
    global count
    plain(self, progress)
    count += 1
    if count == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
StoredProgress.keep = keep
run_study(study(), sys.argv[1], workers=1, checkpoint_every=0.0)
"""


def steps_of(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the steps that are taken from now on."""
    steps: list[int] = []
    plain = AutogradEngine.step

    def step(self: AutogradEngine, *arguments: object) -> None:
        steps.append(1)
        plain(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(AutogradEngine, "step", step)
    return steps


def test_after_kill_9_a_rung_goes_on_from_the_step_that_was_kept(
    tmp_path: Path, uninterrupted: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [sys.executable, "-c", PROGRAM, str(tmp_path / "store"), "4"]
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    killed = subprocess.run(arguments, check=False, capture_output=True, text=True, env=environment)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    store = Store(tmp_path / "store")
    assert store.done() == {}
    assert list((store.path / FOLDER).iterdir())
    steps = steps_of(monkeypatch)
    assert run_study(study(), store, workers=1).failures == []
    assert rows(store) == uninterrupted.rows
    assert not list((store.path / FOLDER).iterdir())
    assert len(steps) == uninterrupted.steps - 4, "what was kept is not trained again"


@pytest.mark.parametrize("damage", ["cut", "changed", "another"])
def test_progress_that_is_damaged_or_not_of_one_moment_counts_as_none(
    damage: str, tmp_path: Path, uninterrupted: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[dict[Path, bytes]] = []
    plain = StoredProgress.keep

    def keep(self: StoredProgress, progress: RungProgress) -> None:
        plain(self, progress)
        kept.append({path: path.read_bytes() for path in (store.path / FOLDER).iterdir()})
        if len(kept) == 2:
            raise KeyboardInterrupt

    store, got_on = Store(tmp_path / "store", create=True), list[set[str]]()
    with monkeypatch.context() as patch:
        patch.setattr(StoredProgress, "keep", keep)
        patch.setattr(Claim, "got_on", lambda self, names: got_on.append(set(names)))
        with pytest.raises(KeyboardInterrupt):
            run_study(study(), store, workers=1, checkpoint_every=0.0)
    assert got_on[:2] == [{ladder.identity for ladder in study().ladders}] * 2, "deaths before it count no more"
    path, content = next(iter(kept[-1].items()))
    if damage == "cut":
        path.write_bytes(content[:-7])
    elif damage == "changed":
        path.write_bytes(content[:-7] + bytes(7))
    else:
        path.write_bytes(kept[0][path])
    steps = steps_of(monkeypatch)
    assert run_study(study(), store, workers=1).failures == []
    assert rows(store) == uninterrupted.rows
    assert len(steps) == uninterrupted.steps


@pytest.mark.parametrize("patience", [0.0, 1e9])
def test_a_run_that_is_to_stop_leaves_a_long_rung_where_it_is_and_finishes_a_short_one(
    patience: float, tmp_path: Path, uninterrupted: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prunescope.run.kept_progress.PATIENCE", patience)
    monkeypatch.setattr("prunescope.run.kept_progress.LOOK_INTERVAL", 0.0)
    monkeypatch.setattr("prunescope.run.progress_reporter.REPORT_INTERVAL", 0.0)
    store, stop, steps = Store(tmp_path / "store", create=True), Stop(), steps_of(monkeypatch)

    def on_event(event: Event) -> None:
        if isinstance(event, CohortProgress) and event.done == 3:
            stop.ask()

    report = run_study(study(), store, workers=1, stop=stop, on_event=on_event)
    assert (report.halted, report.failures) == (True, [])
    assert (report.rungs == 0) == (patience == 0.0)
    assert len(steps) == (3 if patience == 0.0 else 6)
    assert run_study(study(), store, workers=1).failures == []
    assert rows(store) == uninterrupted.rows
    assert len(steps) == uninterrupted.steps


def test_networks_that_score_examples_are_not_trained_again_after_a_break(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TuningCache, "of_machine", lambda self, key: CohortSettings(1, 1, 1, 1, 1e-3))
    one = study().axes[0].model_copy(update={"label_noise": (0.25,)})
    scored = replace(study(), axes=(one,), treatments=study().treatments[:1], el2n=El2n(networks=3, epoch=2))
    (ensemble,) = ensembles(scored)
    whole, store = (Store(tmp_path / name, create=True) for name in ("whole", "store"))
    steps, kept, plain = steps_of(monkeypatch), list[int](), StoredProgress.keep
    assert run_study(scored, whole, workers=1).scored == 1
    expected = len(steps)

    def keep(self: StoredProgress, progress: RungProgress) -> None:
        plain(self, progress)
        if any(ensemble.identity in path.name for path in self._paths):
            kept.append(progress.epoch)
            if len(kept) == 6:  # in the middle of the second network; the first has been kept at its end, too
                raise KeyboardInterrupt

    steps.clear()
    with monkeypatch.context() as patch:
        patch.setattr(StoredProgress, "keep", keep)
        with pytest.raises(KeyboardInterrupt):
            run_study(scored, store, workers=1, checkpoint_every=0.0)
    assert kept == [0, 1, 1, 2, 0, 1]
    assert run_study(scored, store, workers=1).failures == []
    assert len(steps) == expected
    assert rows(store) == rows(whole)
    for name, values in whole.read_arrays("examples", ensemble.identity, 0).items():
        assert np.array_equal(values, store.read_arrays("examples", ensemble.identity, 0)[name])
    assert not list((store.path / FOLDER).iterdir())
