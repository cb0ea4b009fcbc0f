"""A run killed at random moments, and begun again: its workers go with it, nothing is lost, no number changes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from prunescope.run import run_study
from prunescope.study import Treatment
from prunescope.table import Store
from prunescope.table.schema import CIRCUMSTANCES, STORED_NAMES
from tests.run.studies import children, dense_study, endless_study, rows

pytestmark = pytest.mark.stress
ROUNDING = 1e-6
LOSSES = [name.endswith("loss") or "_loss_" in name for name in STORED_NAMES if name not in CIRCUMSTANCES]


def start(study: Path, store: Path, *where: str) -> subprocess.Popen[str]:
    """Start a run as a user does, in a process group of its own."""
    where = where or ("--workers", "2")
    command = [sys.executable, "-m", "prunescope", "run", str(study), "--store", str(store), *where]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def living(process: int) -> bool:
    """Whether a process has not ended; one that nobody has asked after yet has."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def finished_rungs(store: Path) -> int:
    """Return how many rungs a store has, whatever state a kill has left it in."""
    return sum(map(len, Store(store).done().values())) if (store / "store.json").exists() else 0


def test_a_run_killed_at_random_moments_ends_with_the_numbers_of_one_that_was_not(tmp_path: Path) -> None:
    # Several treatments, so that rungs 0 are shared.
    kinds = (Treatment(kind="imp", rewind="fine-tuning"), Treatment(kind="narrow"), Treatment(kind="imp", name="plain"))
    study = replace(dense_study(levels=4, widths=(0.05, 0.06, 0.07), replicates=2), treatments=kinds)
    path, store = tmp_path / "study.toml", tmp_path / "store"
    path.write_text(study.to_toml())
    whole = Store(tmp_path / "whole", create=True)
    run_study(study, whole, workers=1)
    rng, kills, wanted = random.Random(3), 0, 0
    while kills < 3:
        process = start(path, store)
        # Killed some moments after it has got further than the last time, at whatever it is then.
        while process.poll() is None and finished_rungs(store) <= wanted:
            time.sleep(0.02)
        time.sleep(rng.random() * 0.3)
        workers = children(process.pid)
        process.kill()
        process.communicate()
        while any(map(living, workers)):
            time.sleep(0.02)
        kills += 1
        wanted = finished_rungs(store)
    last = start(path, store)
    output, _ = last.communicate()
    assert last.returncode == 0, output
    assert kills
    # What a kill leaves over is trained in other cohorts, in which losses may be rounded otherwise (docs/lab.md).
    killed, unbroken = rows(Store(store)), rows(whole)
    assert killed.keys() == unbroken.keys()
    for key, row in killed.items():
        assert row == tuple(pytest.approx(value, abs=ROUNDING) if is_loss else value
                            for value, is_loss in zip(unbroken[key], LOSSES, strict=True))  # fmt: skip


@pytest.fixture
def from_a_terminal() -> Iterator[None]:
    """Start processes as a terminal does: in one that a shell put into the background they would ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("from_a_terminal")
@pytest.mark.parametrize("first", ["the run", "its workers", "a cluster of its own"])
def test_ctrl_c_ends_a_run_and_its_workers_with_a_word(tmp_path: Path, first: str) -> None:
    study = endless_study()
    path, store = tmp_path / "study.toml", tmp_path / "store"
    path.write_text(study.to_toml())
    cluster = tmp_path / "cluster.toml"
    cluster.write_text('[cluster]\nkind = "local"\nworkers = 2\n')
    process = start(path, store, *(["--cluster", str(cluster)] if first == "a cluster of its own" else []))
    while process.poll() is None and not finished_rungs(store):
        time.sleep(0.02)
    workers = children(process.pid)
    assert workers
    if first == "its workers":  # as what signals every process of a tree may do
        for worker in workers:
            os.kill(worker, signal.SIGINT)
        before = finished_rungs(store)
        while process.poll() is None and finished_rungs(store) == before:
            time.sleep(0.02)
        assert set(children(process.pid)) == set(workers)  # none has died, none was replaced
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the whole group
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in output
    assert output.strip().endswith("stopped; the same command continues from here")
    while first == "a cluster of its own" and any(map(living, workers)):  # Dask's end when they see that it is gone
        time.sleep(0.02)
    assert not any(map(living, workers))
    assert finished_rungs(store)
