"""A loop that is killed again and again against one that nobody disturbs."""

from __future__ import annotations

import multiprocessing
import random
import time
from pathlib import Path

import torch

from prunescope import Recorder, read_table
from tests.record.loops import climb, make

KILLS, LEVELS = 30, 40


def climb_in(folder: str) -> None:
    """Climb a long ladder."""
    torch.set_num_threads(1)
    climb(_recorder(Path(folder)))


def _recorder(folder: Path) -> Recorder:
    return Recorder(folder, levels=LEVELS, pruning_fraction=0.06, rewind_epoch=1, keep=(0, 20, LEVELS), source="a test")


def test_thirty_kills_change_neither_rows_nor_masks_nor_weights(tmp_path: Path) -> None:
    chance = random.Random(7)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["duckdb", "safetensors.numpy", "prunescope.table", "tests.record.loops"])
    cut_short = 0
    for _ in range(KILLS):
        process = processes.Process(target=climb_in, args=(str(tmp_path / "killed"),))
        process.start()
        before = len(_rungs(tmp_path / "killed"))
        while process.is_alive() and len(_rungs(tmp_path / "killed")) < before + 1:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.06))
        process.kill()
        process.join()
        cut_short += process.exitcode != 0
    assert cut_short >= KILLS // 2
    climb_in(str(tmp_path / "killed"))
    climb_in(str(tmp_path / "whole"))
    killed, whole = _recorder(tmp_path / "killed"), _recorder(tmp_path / "whole")
    assert killed.done == whole.done == set(range(LEVELS + 1))
    names = ("rung", "kept", "test_error", "epochs", "parameters", "density")
    one, other = read_table(killed.store), read_table(whole.store)
    for name in names:
        assert one[name].tolist() == other[name].tolist()
    for rung in range(LEVELS + 1):
        masks = whole.masks(rung, make(0))
        assert all((mask == masks[layer]).all() for layer, mask in killed.masks(rung, make(0)).items())
    for rung in (0, 20, LEVELS):
        weights = whole.load(rung, make(0)).state_dict()
        assert all(torch.equal(value, weights[name]) for name, value in killed.load(rung, make(1)).state_dict().items())


def _rungs(store: Path) -> list[Path]:
    return list((store / "rungs").glob("*.parquet"))
