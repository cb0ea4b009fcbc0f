"""A recorder that is interrupted, resumed, given more levels, or whose store was merged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from prunescope import Recorder, Store, read_table
from prunescope.cli.main import cli
from prunescope.record import Rung
from tests.record.loops import (
    CLASSES,
    INPUTS,
    bits,
    climb,
    recorder,
)


def test_more_levels_are_trained_later_without_redoing_any(tmp_path: Path) -> None:
    climb(recorder(tmp_path / "at once"))
    climb(recorder(tmp_path / "later", levels=1))
    again = recorder(tmp_path / "later")
    assert [rung.number for rung in _looked_at(again)] == [2]
    climb(again)
    assert bits(again) == bits(recorder(tmp_path / "at once"))
    status = CliRunner().invoke(cli, ["status", "--json", str(again.store.path)])
    (ladder,) = json.loads(status.output)["recorded"]
    assert (ladder["rungs"], ladder["rungs_done"], ladder["state"]) == (4, 4, "done")


def _looked_at(rec: Recorder) -> list[Rung]:
    return [next(iter(rec))]


def test_two_spellings_of_one_training_are_one_ladder(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    assert recorder(tmp_path, rewind="weights", score="magnitude", scope="global", levels=9).identity == one.identity
    assert recorder(tmp_path, recipe={"lr": 0.1}).identity != one.identity
    others = [recorder(tmp_path, **change) for change in ({"seed": 1}, {"rewind_epoch": 2}, {"pruning_fraction": 0.3})]
    assert len({rec.identity for rec in others} | {one.identity}) == 4


def test_tuples_and_numbers_of_numpy_are_plain_content(tmp_path: Path) -> None:
    one = recorder(tmp_path, depth=2, recipe={"betas": [0.9, 0.5], "lr": 0.25})
    same = recorder(tmp_path, depth=np.int64(2), recipe={"betas": (0.9, 0.5), "lr": np.float32(0.25)})
    assert same.identity == one.identity


@pytest.mark.parametrize("width", [7, 9, 11, 13])  # which file comes first follows from hashes
def test_a_start_that_got_no_row_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    def other(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(INPUTS, width), nn.ReLU(), nn.Linear(width, CLASSES))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    rec = recorder(tmp_path)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(rec.store, "write", stop)
        climb(rec, epochs=4, made=other)
    climb(rec)
    assert rec.note()["epochs"] == 3
    assert rec.done == {0, 1, 2, 3}


def test_a_store_merged_with_another_goes_on(tmp_path: Path) -> None:
    climb(recorder(tmp_path / "a", levels=1))
    climb(recorder(tmp_path / "b", levels=1, replicate=1))
    stores = [str(tmp_path / name / "store") for name in ("a", "b")]
    assert CliRunner().invoke(cli, ["merge", *stores, "--into", str(tmp_path / "c" / "store")]).exit_code == 0
    both = Store(tmp_path / "c" / "store")
    assert len(both.recorded()) == 2
    climb(recorder(tmp_path / "c", replicate=1))
    assert len(read_table(both)) == 6
