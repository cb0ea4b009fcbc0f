"""Processes that train each network together give what one process gives, to rounding, whatever their number."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from prunescope.cli.main import cli
from prunescope.data import load
from prunescope.errors import PrunescopeError
from prunescope.nets.cohort import Layout
from prunescope.run import run_study
from prunescope.run.data_parallel import DataParallel
from prunescope.run.events import CohortProgress, Event
from prunescope.run.ladder_runner import RunSettings
from prunescope.run.torchrun import TorchrunPlace, devices_of, torchrun_place
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.study import El2n, Ladder, Study, ensembles
from prunescope.study.sections import Axes
from prunescope.table import Store
from prunescope.table.schema import CIRCUMSTANCES, STORED_NAMES
from tests.run.studies import mixed_study
from tests.train.cohorts import OUTCOMES, VALIDATED, climbed, ladder, same

TIMEOUT = timedelta(seconds=60)
MOVED: dict[str, Any] = {"augment": "flip-crop", "momentum": 0.9, "weight_decay": 1e-3, "rewind_epoch": 1, "levels": 1}
COHORTS: dict[str, tuple[Layout, list[Ladder]]] = {
    # In batches of 16, the last one of an epoch has as many examples as there are processes, or fewer.
    "resnets": (
        Layout(2, 2),
        [ladder("cifar-resnet", 8, 1 / 16, replicate=number, examples=34, **MOVED) for number in range(2)],
    ),
    "own": (
        Layout(2),
        [ladder("tests.nets.modules:with_dropout", 2, 0.5, examples=41, accumulate=2, clip_norm=1.0, levels=1)],
    ),
    "vmapped": (
        Layout(2),
        [ladder("tests.nets.modules:own", 2, 0.5, replicate=number, examples=41, levels=1) for number in range(2)],
    ),
    "lenets": (
        Layout(),
        [ladder("lenet", 3, 0.05, replicate=number, examples=50, optimizer="adamw", levels=1) for number in range(2)],
    ),
}


@pytest.fixture(scope="module")
def together(request: pytest.FixtureRequest) -> Iterator[DataParallel]:
    """Processes that the tests of a number of them share."""
    settings = RunSettings("tests", dtype=torch.float64, processes=request.param)
    parallel = DataParallel(["cpu"] * request.param, None, settings, TIMEOUT)
    yield parallel
    parallel.close()


WAYS = [(2, "resnets"), (2, "own"), (2, "vmapped"), (2, "lenets"), (3, "resnets")]


@pytest.mark.parametrize(("together", "kind"), WAYS, indirect=["together"])
def test_several_processes_train_as_one(kind: str, together: DataParallel, tmp_path: Path) -> None:
    layout, ladders = COHORTS[kind]
    alone = climbed(ladders, load("digits"), tmp_path / "alone", layout)
    shared = climbed(ladders, load("digits"), tmp_path / "shared", layout, parallel=together)
    for trained in ladders:
        assert len(alone[trained.identity]) == trained.rungs
        same(shared[trained.identity], alone[trained.identity])


def study(**changes: Any) -> Study:
    whole = mixed_study(levels=1, **changes)
    axes = whole.axes[0].model_copy(update={"label_noise": (0.0,)})
    scores = El2n(networks=2, epoch=1)
    return replace(whole, axes=(axes,), treatments=whole.treatments[:1], replicates=1, el2n=scores)


def hold_rows(store: Store, other: Store) -> None:
    """Hold the rows of two stores against each other: sizes and masks exactly, outcomes to rounding."""
    ours, theirs = (sorted(kept.table().rows(), key=lambda row: row["rung"]) for kept in (store, other))
    assert len(ours) == len(theirs) > 0
    for one, another in zip(ours, theirs, strict=True):
        for name in STORED_NAMES:
            if name in CIRCUMSTANCES:
                continue
            if name in (*OUTCOMES, *VALIDATED) and one[name] is not None:
                # An example at a boundary may fall on either side.
                assert one[name] == pytest.approx(another[name], abs=1e-5 if "loss" in name else 0.005), name
            else:
                assert one[name] == another[name], name


def test_a_killed_process_ends_the_run_in_a_sentence_and_another_number_of_them_goes_on_from_the_step_that_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: Callable[[], list[int]]
) -> None:
    monkeypatch.setattr(TuningCache, "of_machine", lambda self, key: CohortSettings(8, 1, 8, 1, 1e-3))
    monkeypatch.setattr("prunescope.run.progress_reporter.REPORT_INTERVAL", 0.0)
    whole, store = (Store(tmp_path / name, create=True) for name in ("whole", "store"))
    assert run_study(study(), whole, workers=1).failures == []
    steps: list[int] = []

    def on_event(event: Event) -> None:
        if isinstance(event, CohortProgress) and event.rungs > 1:  # no networks that score examples
            steps.append(event.done)
            if len(steps) == 4 and not killed:
                killed.extend(started())
                os.kill(killed[0], signal.SIGKILL)

    killed: list[int] = []
    report = run_study(study(), store, device="cpu", data_parallel=2, checkpoint_every=0.0, on_event=on_event)
    assert "was killed by SIGKILL" in report.lost
    assert report.is_incomplete
    assert report.failures == []
    assert not started()
    assert len(list((store.path / "progress").iterdir())) == 1
    steps.clear()
    again = run_study(study(), store, device="cpu", workers=1, on_event=on_event)
    assert (again.lost, again.failures, again.is_incomplete) == ("", [], False)
    assert steps[0] == 5
    hold_rows(store, whole)
    (ensemble,) = ensembles(study())
    scores, expected = (kept.read_arrays("examples", ensemble.identity, 0) for kept in (store, whole))
    assert np.array_equal(scores["index"], expected["index"])
    np.testing.assert_allclose(scores["el2n"], expected["el2n"], atol=1e-5)


def test_a_user_s_code_that_fails_is_a_failure_of_its_ladders_and_the_others_are_trained(
    tmp_path: Path, started: Callable[[], list[int]]
) -> None:
    base = study()
    own = Axes(dataset=("digits",), family=(f"{__name__}:failing",), depth=(1,), width=(1.0,), examples=(64,))
    mixed = replace(base, axes=(own, *base.axes), el2n=None)
    report = run_study(mixed, tmp_path / "store", device="cpu", data_parallel=2)
    assert report.lost == ""
    assert ["on purpose" in failure.reason for failure in report.failures] == [True]
    assert report.rungs == 2
    assert not started()


class Failing(nn.Module):
    """Fails in training."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.output = nn.Linear(64, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and len(x) > 2:
            raise ValueError("on purpose")
        logits: torch.Tensor = self.output(x.flatten(1))
        return logits


def failing(depth: int, width: float, classes: int) -> nn.Module:
    """Return a module that fails in training."""
    return Failing(classes)


def test_each_process_has_a_device_of_its_own_or_the_cores_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    assert devices_of("auto", 1, None) == ["auto"]
    assert devices_of("cpu", 3, None) == ["cpu"] * 3
    assert devices_of("auto", 2, None) == ["cpu"] * 2
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices_of("auto", 2, None) == devices_of("cuda", 2, None) == ["cuda:0", "cuda:1"]
    assert devices_of("cuda:1, cuda:0", 2, None) == ["cuda:1", "cuda:0"]
    assert devices_of("auto", 3, None) == ["cpu"] * 3
    for device, processes in (("cuda", 3), ("cuda:1", 2), ("cuda:0,cuda:0", 2), ("cpu,cpu", 3), ("cpu", 0)):
        with pytest.raises(PrunescopeError):
            devices_of(device, processes, None)
    environment = {
        "TORCHELASTIC_RUN_ID": "x",
        "RANK": "3",
        "WORLD_SIZE": "4",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "2",
    }
    place = torchrun_place(environment)
    assert place is not None
    assert place == TorchrunPlace(3, 4, 1, 2)
    assert devices_of("auto", 1, place) == ["cuda:1"] * 4
    assert devices_of("cpu", 1, place) == ["cpu"] * 4
    with pytest.raises(PrunescopeError):
        devices_of("cuda:0", 1, place)
    assert torchrun_place({"RANK": "3", "WORLD_SIZE": "4"}) is None
    assert torchrun_place({"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}) is None


@pytest.mark.parametrize("others", [["--workers", "2"], ["--cluster", "tcp://127.0.0.1:1"]])
def test_processes_that_share_batches_are_all_that_a_run_has(others: list[str]) -> None:
    answer = CliRunner().invoke(cli, ["run", "digits", "--data-parallel", "2", *others])
    assert answer.exit_code == 2
    assert "--data-parallel" in answer.output


def test_a_plan_says_what_several_processes_take(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(study().to_toml())
    one, two = (
        json.loads(CliRunner().invoke(cli, ["plan", str(path), "--json", "--data-parallel", count]).output)
        for count in ("2", "4")
    )
    assert one["estimate"]["memory"] < one["data_parallel"]["memory"] < two["data_parallel"]["memory"]
    assert one["data_parallel"]["gradients"] == 4 * one["members"][0]["parameters"]
    assert "in parallel" in CliRunner().invoke(cli, ["plan", str(path), "--data-parallel", "2"]).output


@pytest.mark.long
@pytest.mark.parametrize("lost", [False, True], ids=["all stay", "one is killed"])
def test_processes_of_torchrun_train_together_and_rank_0_alone_writes(lost: bool, tmp_path: Path) -> None:
    path, whole = tmp_path / "study.toml", Store(tmp_path / "whole", create=True)
    path.write_text(study(epochs=200 if lost else 3, milestones=(2,)).to_toml())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(free.getsockname()[1]),
            "WORLD_SIZE": "2",
            "LOCAL_WORLD_SIZE": "2",
        }
    command = [sys.executable, "-m", "prunescope", "run", str(path), "--device", "cpu", "--store"]
    processes = []
    for rank in range(2):
        environment = os.environ | place | {"TORCHELASTIC_RUN_ID": "tests", "RANK": str(rank), "LOCAL_RANK": str(rank)}
        store = str(tmp_path / "store") if rank == 0 else "/proc/nobody/can/write/here"
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes.append(subprocess.Popen([*command, store], env=environment, **pipes))
    if lost:
        while not list((tmp_path / "store" / "claims").glob("*")) and processes[0].poll() is None:
            time.sleep(0.1)
        processes[1].kill()
    outputs = [process.communicate(timeout=120) for process in processes]
    if lost:
        assert processes[0].returncode == 1
        assert "one of 2 processes" in outputs[0][1]
        return
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert "trained 2 networks" in outputs[0][0]
    assert outputs[1] == ("", "")
    assert run_study(study(), whole, workers=1).failures == []
    hold_rows(Store(tmp_path / "store"), whole)
