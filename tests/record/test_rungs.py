"""What a recorder hands to a loop: rungs, the weights that go, and from where training goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from torch import nn

from prunescope import InputError, Recorder, read_table
from prunescope.cli.main import cli
from tests.record.loops import (
    CLASSES,
    INPUTS,
    WEIGHTS,
    adamw,
    blobs,
    climb,
    first,
    make,
    place,
    recorder,
)


def test_rungs_tell_what_they_are(tmp_path: Path) -> None:
    rec = recorder(tmp_path)
    seen = []
    for rung in rec:
        planned, model = rung.density, make(rung.seed)
        with rung.on(model, adamw(model)):
            epochs = rung.epochs(3)
            seen.append((rung.number, rung.seed, len(epochs), list(epochs), rung.starts_from))
            assert rung.density == pytest.approx(planned, abs=0.005)
            rung.record(test_error=0.5)
    seeds = {seed for _, seed, *_ in seen}
    assert len(seeds) == 1
    assert [(number, count, epochs) for number, _, count, epochs, _ in seen] == [
        (0, 3, [0, 1, 2]),
        *((number, 2, [1, 2]) for number in (1, 2, 3)),
    ]
    assert seen[0][-1] == "its initial weights"
    assert seen[2][-1] == "the weights of rung 0 at epoch 1"
    assert list(rec) == []
    assert repr(rec).endswith("4 of 4 rungs>")


def test_counts_are_exact_and_rows_say_whose_they_are(tmp_path: Path) -> None:
    rec = recorder(tmp_path, family="mlp", dataset="blobs", depth=3, width=0.5, replicate=2, label_noise=0.1)
    climb(rec)
    others = 12 + 8 + CLASSES + 2 * 12
    for row in read_table(rec.store).rows():
        assert row["kept"] == round(WEIGHTS * 0.8 ** row["rung"])
        assert (row["prunable"], row["parameters"]) == (WEIGHTS, row["kept"] + others)
        assert (row["family"], row["dataset"], row["depth"], row["width"]) == ("mlp", "blobs", 3, 0.5)
        assert (row["replicate"], row["label_noise"], row["examples"]) == (2, 0.1, 60)
        assert (row["treatment"], row["rewind"], row["score"], row["scope"]) == (
            "imp",
            "weights",
            "magnitude",
            "global",
        )
        assert row["source"] == recorder.__module__
        assert row["epochs"] == (3 if row["rung"] == 0 else 2)


def test_densities_of_ones_own(tmp_path: Path) -> None:
    rec = recorder(tmp_path, levels=None, densities=[1, 0.5, 0.2, 0.1])
    climb(rec)
    table = read_table(rec.store)
    size = int(table["prunable"][0])
    assert sorted(table["kept"].tolist(), reverse=True) == [round(size * share) for share in (1, 0.5, 0.2, 0.1)]


def test_a_function_of_ones_own_ranks_weights(tmp_path: Path) -> None:
    def by_sign(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return weights

    rec = recorder(tmp_path, score=by_sign, keep="all")
    climb(rec)
    before = rec.load(0, make(1)).state_dict()
    masks, lowest = rec.masks(1, make(0)), []
    for name, mask in masks.items():
        weights = before[name].numpy()
        lowest.append((weights[~mask], weights[mask]))
    assert max(gone.max() for gone, _ in lowest if gone.size) <= min(kept.min() for _, kept in lowest)
    assert read_table(rec.store)["score"][0] == f"{__name__}:by_sign"


@pytest.mark.parametrize("score", ["gradient", "gradient-flow", "synaptic-flow"])
def test_scores_that_ask_the_network_are_given_batches(tmp_path: Path, score: str) -> None:
    x, labels = blobs(30, 5)
    rec = recorder(tmp_path, score=score, score_batches=[(x[:20], labels[:20]), (x[20:], labels[20:])], keep="all")
    climb(rec)
    assert len(read_table(rec.store)) == 4
    if score == "gradient":
        model = rec.load(0, make(1)).eval()
        F.cross_entropy(model(x), labels).backward()  # type: ignore[no-untyped-call]
        scores = {
            name: (p * p.grad).abs().detach().numpy() for name, p in model.named_parameters() if p.grad is not None
        }
        masks = rec.masks(1, make(0))
        gone = max(scores[name][~mask].max() for name, mask in masks.items() if (~mask).any())
        assert gone <= min(scores[name][mask].min() for name, mask in masks.items())


def test_layers_are_picked_by_name_pattern_or_rule(tmp_path: Path) -> None:
    picks: list[tuple[Any, list[str]]] = [
        ("all", ["0.weight", "3.weight", "5.weight"]),
        ("all-but-output", ["0.weight", "3.weight"]),
        (["3"], ["3.weight"]),
        (["!5.*"], ["0.weight", "3.weight"]),
        (["*", "!0"], ["3.weight", "5.weight"]),
        (lambda name, parameter: parameter.ndim == 2 and not name.startswith("0"), ["3.weight", "5.weight"]),
    ]
    for number, (prunable, names) in enumerate(picks):
        rec = Recorder(tmp_path / str(number), levels=1, prunable=prunable)
        climb(rec)
        assert list(rec.masks(1, make(0))) == names
    with pytest.raises(InputError) as refused:
        climb(Recorder(tmp_path / "none", levels=1, prunable=["sixth"]))
    assert place(refused) == "prunable"


def test_frozen_layers_are_left_alone_and_shared_ones_count_once(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.into = nn.Linear(INPUTS, 8)
            self.frozen = nn.Linear(8, 8)
            self.frozen.requires_grad_(False)
            self.again = nn.Linear(8, 8)
            self.same = nn.Linear(8, 8)
            self.same.weight = self.again.weight
            self.attention = nn.MultiheadAttention(8, 2)
            self.places = nn.Embedding(3, 8)
            self.out = nn.Linear(8, CLASSES)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.same(self.again(self.frozen(self.into(x)))) + self.places.weight[0]
            return self.out(x + self.attention(x[None], x[None], x[None])[0][0])  # type: ignore[no-any-return]

    def made(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return Tied()

    rec = recorder(tmp_path, keep="all")
    frozen = made(first(rec).seed).state_dict()["frozen.weight"]
    climb(rec, made=made)
    masks = rec.masks(3, made(0))
    names = ["into.weight", "again.weight", "attention.in_proj_weight", "attention.out_proj.weight", "out.weight"]
    assert sorted(masks) == sorted(names)
    row = next(read_table(rec.store).rows())
    assert row["prunable"] == INPUTS * 8 + 64 + 192 + 64 + 8 * CLASSES
    after = rec.load(3, made(1))
    assert torch.equal(after.state_dict()["frozen.weight"], frozen)
    assert after.get_parameter("same.weight") is after.get_parameter("again.weight")
    result = CliRunner().invoke(cli, ["status", str(rec.store.path)])
    assert "not pruned: frozen.weight (" in result.output
    assert "places.weight (" in result.output
