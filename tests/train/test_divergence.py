"""A member whose numbers leave all bounds fails alone; its companions go on as if it had not been there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from prunescope.nets.cohort import Layout
from prunescope.prune import RungHandover, RungStart
from prunescope.table import Store
from prunescope.train import LadderRungs
from tests.train.cohorts import climbed, ladder, pictures, same

SHAPES: list[tuple[str, int, float]] = [
    ("lenet", 3, 0.05), ("cifar-resnet", 8, 1 / 16), ("tests.nets.modules:own", 2, 1.0),
]  # fmt: skip


@pytest.mark.parametrize("rung", [0, 1])
@pytest.mark.parametrize("layout", [Layout(4), Layout(4, 4)], ids=["together", "packed"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape[0])
def test_a_member_that_diverges_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[str, int, float], layout: Layout, rung: int
) -> None:
    begin = LadderRungs.begin

    def blown(self: LadderRungs, at: int, before: RungHandover | None) -> RungStart:
        start = begin(self, at, before)
        if at == rung and self.ladder.replicate == 1:
            large = {  # the first sums are infinite already
                name: np.sign(values, dtype=float) * 1e308 if "weight" in name else values
                for name, values in start.tensors.items()
            }
            return RungStart(large, start.masks)
        return start

    ladders = [ladder(*shape, replicate=replicate) for replicate in range(4)]
    data = pictures()
    usual = climbed(ladders, data, tmp_path / "usual", layout)
    monkeypatch.setattr(LadderRungs, "begin", blown)
    by_ladder = climbed(ladders, data, tmp_path / "blown", layout)
    for other_ladder in ladders:
        if other_ladder.replicate == 1:
            assert len(by_ladder[other_ladder.identity]) == rung
            continue
        assert len(by_ladder[other_ladder.identity]) == 3
        same(by_ladder[other_ladder.identity], usual[other_ladder.identity])
    (failure,) = Store(tmp_path / "blown").failures()
    assert (failure.ladder, failure.rung) == (ladders[1].identity, rung)
    assert "diverged" in failure.words


def test_a_learning_rate_beyond_all_bounds_is_told_for_each_ladder(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"learning_rate": 1e6, "weight_decay": 1.0, "epochs": 8}
    ladders = [ladder(replicate=replicate, **changes) for replicate in range(3)]
    by_ladder = climbed(ladders, pictures(), tmp_path, Layout(3), torch.float32)
    assert not any(by_ladder.values())
    failures = Store(tmp_path).failures()
    assert {failure.ladder for failure in failures} == {ladder.identity for ladder in ladders}
    assert all("a lower learning rate may help" in failure.words for failure in failures)
