"""A loop that is killed again and again against one that nobody disturbs."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
import torch

from prunescope import Recorder, read_table
from tests.commands import processes
from tests.record.loops import climb, make


def climb_in(folder: str, levels: int) -> None:
    """Climb a long ladder."""
    torch.set_num_threads(1)
    climb(_recorder(Path(folder), levels))


def _recorder(folder: Path, levels: int) -> Recorder:
    keep = (0, levels // 2, levels)
    return Recorder(folder, levels=levels, pruning_fraction=0.06, rewind_epoch=1, keep=keep, source="a test")


@pytest.mark.parametrize(("kills", "levels"), [(8, 14), pytest.param(30, 40, marks=pytest.mark.long)])
def test_kills_change_neither_rows_nor_masks_nor_weights(tmp_path: Path, kills: int, levels: int) -> None:
    chance = random.Random(7)
    cut_short = 0
    for _ in range(kills):
        process = processes().Process(target=climb_in, args=(str(tmp_path / "killed"), levels))
        process.start()
        before = len(_rungs(tmp_path / "killed"))
        while process.is_alive() and len(_rungs(tmp_path / "killed")) < before + 1:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.06))
        process.kill()
        process.join()
        cut_short += process.exitcode != 0
    assert cut_short >= kills // 2
    climb_in(str(tmp_path / "killed"), levels)
    climb_in(str(tmp_path / "whole"), levels)
    killed, whole = _recorder(tmp_path / "killed", levels), _recorder(tmp_path / "whole", levels)
    assert killed.done == whole.done == set(range(levels + 1))
    names = ("rung", "kept", "test_error", "epochs", "parameters", "density")
    one, other = read_table(killed.store), read_table(whole.store)
    for name in names:
        assert one[name].tolist() == other[name].tolist()
    for rung in range(levels + 1):
        masks = whole.masks(rung, make(0))
        assert all((mask == masks[layer]).all() for layer, mask in killed.masks(rung, make(0)).items())
    for rung in (0, levels // 2, levels):
        weights = whole.load(rung, make(0)).state_dict()
        assert all(torch.equal(value, weights[name]) for name, value in killed.load(rung, make(1)).state_dict().items())


def _rungs(store: Path) -> list[Path]:
    return list((store / "rungs").glob("*.parquet"))
