"""Single precision: fully connected cohorts to the last bit where nothing is left out, to rounding where it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from prunescope.data import load
from prunescope.nets.cohort import Layout
from prunescope.run.tune import threads
from tests.train.cohorts import climbed, ladder, pictures, same

LADDERS = [ladder("lenet", 3, 0.3, replicate=replicate, examples=100, levels=1, epochs=1) for replicate in range(5)]


def test_small_dense_networks_are_the_same_to_the_last_bit_in_any_company(tmp_path: Path) -> None:
    data = load("digits")
    with threads(1):
        alone = climbed(LADDERS, data, tmp_path / "alone", dtype=torch.float32, alone=True)
    for members, cores in ((5, 1), (3, 1), (2, 2)):
        some = LADDERS[:members]
        with threads(cores):
            together = climbed(some, data, tmp_path / f"{members} {cores}", Layout(members), torch.float32)
        for item in some:
            same(together[item.identity], alone[item.identity], exact=True)


def test_large_sparse_networks_are_the_same_to_rounding_in_any_company(tmp_path: Path) -> None:
    # Each member is as large as the least sparse one's remainder, and sums of other lengths are rounded otherwise.
    ladders = [
        ladder("lenet", 3, 0.3, replicate=replicate, levels=1, pruning_fraction=0.98, epochs=1)
        for replicate in range(3)
    ]
    data = pictures((1, 28, 28))
    together = climbed(ladders, data, tmp_path / "together", Layout(3), torch.float32)
    alone = climbed(ladders, data, tmp_path / "alone", dtype=torch.float32, alone=True)
    for other_ladder in ladders:
        for ours, theirs in zip(together[other_ladder.identity], alone[other_ladder.identity], strict=True):
            for name, values in ours.state.items():
                np.testing.assert_allclose(values, theirs.state[name], rtol=0, atol=1e-5)
