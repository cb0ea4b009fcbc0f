"""Sparse steps against dense ones: step by step, over whole ladders, across the switch, in any company."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prunescope.data import draw_subsample
from prunescope.nets.cohort import Layout
from prunescope.nets.kernels import Vectors, vectors_here
from prunescope.nets.sparse_kernels import SparseKernels, sparse_kernels
from prunescope.prune import Masks
from prunescope.run.tune import threads
from prunescope.study import Ladder
from prunescope.train import TrainingContext, label_distances
from prunescope.train.dense import DenseEngine
from prunescope.train.pictures import Pictures
from prunescope.train.sparse import SparseEngine
from tests.train.cohorts import Climbed, climbed, pictures, random_masks, same, starts, training_context
from tests.train.test_engines import apart, batches
from tests.train.test_optimizer import LOSSES, RATES, RULES
from tests.train.test_promise import MIXED, mixed

LENET = ("lenet", 4, 0.08)
SWITCH = 0.4  # share of the weights below which steps are sparse, in the middle of the ladders here


def compiled_for(vectors: Vectors) -> SparseKernels:
    """Return the kernels for doubles; skip where no compiler makes any."""
    compiled = sparse_kernels(torch.float64, vectors)
    if compiled is None:
        pytest.skip("no compiler that works")
    return compiled


def stepped(
    context: TrainingContext, tensors: dict[str, Tensor], masks: dict[str, Tensor], compiled: SparseKernels | None
) -> dict[str, Tensor]:
    """Take some steps, sparse ones where there are kernels, on batches of several sizes; return the state."""
    members = len(next(iter(tensors.values())))
    sparse = None if compiled is None else SparseEngine(context.network, context.recipe, tensors, masks, compiled)
    dense = DenseEngine(context.network, context.recipe, tensors, masks, False)
    for (x, labels), rate in zip(batches(context, members), RATES, strict=True):
        if sparse is None or compiled is None:
            dense.step(x, labels, rate)
        else:
            read = sparse.columns.unsqueeze(1).expand(-1, x.shape[1], -1)
            fill = compiled.filled(x.shape[1]) - x.shape[1]
            sparse.step(F.pad(x.gather(2, read).transpose(1, 2), (0, fill)).contiguous(), labels, rate)
    return (sparse or dense).state()


def hold(context: TrainingContext, masks: list[Masks], compiled: SparseKernels) -> None:
    tensors, stacked = starts(context, masks)
    expected, got = (stepped(context, tensors, stacked, way) for way in (None, compiled))
    assert set(got) == set(expected)
    for name, values in got.items():
        torch.testing.assert_close(values, expected[name], rtol=1e-9, atol=1e-11, msg=f"{name} is not the same")


@pytest.mark.parametrize("vectors", vectors_here(), ids=lambda vectors: vectors.name)
@pytest.mark.parametrize("prunable", ["all", "all-but-output"])
def test_sparse_steps_are_dense_steps_to_rounding(vectors: Vectors, prunable: str) -> None:
    compiled = compiled_for(vectors)
    for rule in (*RULES, *LOSSES):
        context = training_context(*LENET, prunable=prunable, **rule)
        for masks in (random_masks(context, 3, 1.0), apart(context, 4)):
            hold(context, masks, compiled)


def test_members_without_any_weight_left_learn_biases_alone() -> None:
    context = training_context(*LENET, momentum=0.9, weight_decay=0.03)
    hold(
        context,
        [Masks(item.layers, item.flat & False) for item in random_masks(context, 2, 1.0)],
        compiled_for(vectors_here()[0]),
    )


def rungs_of(ladders: list[Ladder], folder: Path, *ways: dict[str, Any]) -> list[dict[str, list[Climbed]]]:
    data = pictures()
    return [climbed(ladders, data, folder / str(place), Layout(len(ladders)), **way) for place, way in enumerate(ways)]


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The engines that are made: their kind, and how many members they train."""
    if sparse_kernels(torch.float64) is None:
        pytest.skip("no compiler that works")
    made: list[tuple[str, int]] = []
    for kind in (SparseEngine, DenseEngine):

        def noted(
            self: Any, *arguments: Any, init: Any = kind.__init__, name: str = kind.__name__, **more: Any
        ) -> None:
            made.append((name, len(next(iter(arguments[2].values())))))
            init(self, *arguments, **more)

        monkeypatch.setattr(kind, "__init__", noted)
    return made


@pytest.mark.parametrize(
    "rule",
    [
        {"momentum": 0.8, "weight_decay": 1e-2, "nesterov": True, "validation": 0.01},
        {"optimizer": "adam", "learning_rate": 0.01, "weight_decay": 0.01, "prunable": "all-but-output"},
        {"momentum": 0.9, "clip_norm": 0.5, "label_smoothing": 0.1, "schedule": "cosine", "rewind_epoch": 1},
    ],
    ids=["sgd", "adam", "clipped"],
)
def test_ladders_with_sparse_rungs_have_the_masks_and_numbers_of_dense_ones(
    tmp_path: Path, engines: list[tuple[str, int]], rule: dict[str, Any]
) -> None:
    ladders = mixed(MIXED[:7], "lenet", 3, 0.1, **{"levels": 7, "pruning_fraction": 0.3} | rule)
    dense, sparse = rungs_of(ladders, tmp_path, {"compact": False}, {"sparse_below": SWITCH})
    for ladder in ladders:
        assert len(sparse[ladder.identity]) == ladder.rungs
        same(sparse[ladder.identity], dense[ladder.identity])
    extended = sum(item["treatment"].get("kind") == "extended" for item in MIXED[:7] if "treatment" in item)
    rungs = [count for kind, count in engines if kind == "SparseEngine"]
    assert len(rungs) >= 4
    assert set(rungs) == {len(ladders) - extended}  # what is not pruned trains beside, by dense steps


def test_a_member_has_the_same_numbers_in_any_company(tmp_path: Path, engines: list[tuple[str, int]]) -> None:
    ladders = mixed(MIXED[:4], "lenet", 3, 0.1, levels=4, pruning_fraction=0.5)
    together, alone = rungs_of(ladders, tmp_path, {"sparse_below": SWITCH}, {"sparse_below": SWITCH, "alone": True})
    for ladder in ladders:
        same(together[ladder.identity], alone[ladder.identity])
    assert {1, 4} <= {count for kind, count in engines if kind == "SparseEngine"}


def test_a_ladder_taken_up_around_the_switch_goes_on_as_if_it_had_not_stopped(
    tmp_path: Path, engines: list[tuple[str, int]]
) -> None:
    data, changes = pictures(), {"momentum": 0.9, "pruning_fraction": 0.4, "rewind_epoch": 1, "epochs": 3}
    whole, *parts = (mixed(MIXED[2:5], "lenet", 3, 0.1, levels=levels, **changes) for levels in (3, 1, 2))

    def climb(ladders: list[Ladder], name: str) -> dict[str, list[Climbed]]:
        return climbed(ladders, data, tmp_path / name, Layout(3), sparse_below=SWITCH)

    through = climb(whole, "through")
    assert [kind for kind, _ in engines] == ["DenseEngine"] * 2 + ["SparseEngine"] * 2
    for part in parts:
        name = str(part[0].recipe.levels)
        climb(part, name)
        again = climb(whole, name)
        for ladder in whole:
            same(again[ladder.identity], through[ladder.identity], exact=True)


def test_several_threads_change_no_number() -> None:
    context, compiled = training_context(*LENET), compiled_for(vectors_here()[0])
    tensors, masks = starts(context, apart(context, 4))
    with threads(1):
        alone = stepped(context, tensors, masks, compiled)
    with threads(3):
        together = stepped(context, tensors, masks, compiled)
    for name, values in alone.items():
        torch.testing.assert_close(together[name], values, rtol=1e-12, atol=1e-14)


def test_where_the_bound_is_all_weights_networks_that_nothing_is_pruned_of_take_sparse_steps(
    tmp_path: Path, engines: list[tuple[str, int]]
) -> None:
    kinds: list[dict[str, Any]] = [{"treatment": {"kind": kind}} for kind in ("imp", "extended", "dense")]
    ladders = mixed(kinds, "lenet", 3, 0.1, levels=1, momentum=0.9, weight_decay=0.01)
    dense, sparse = rungs_of(ladders, tmp_path, {}, {"sparse_below": 1.0})
    for ladder in ladders:
        same(sparse[ladder.identity], dense[ladder.identity])
    assert [kind for kind, _ in engines] == ["DenseEngine"] * 2 + ["SparseEngine"] * 2


def test_examples_are_scored_alike_by_sparse_networks() -> None:
    context = training_context(*LENET)
    if context.sparse_kernels is None:
        pytest.skip("no compiler that works")
    subsample = draw_subsample(
        context.dataset.train_labels, 4, examples=41, label_noise=0, held_out=9, seed=1, replicate=0, dataset="digits"
    )
    state = {name: values.numpy() for name, values in starts(context, random_masks(context, 2, 1.0))[0].items()}
    dense, sparse = (label_distances(context.with_sparse_below(bound), subsample, state) for bound in (0.0, 1.0))
    np.testing.assert_allclose(sparse, dense, rtol=1e-9)


def test_steps_are_sparse_at_the_bound_and_dense_above_and_where_nothing_is_pruned() -> None:
    context = training_context(*LENET)
    if context.sparse_kernels is None:
        pytest.skip("no compiler that works")
    masks = context.masks(random_masks(context, 2, 0.3))
    share = float(next(iter(masks.values())).new_tensor([mask.sum() for mask in masks.values()]).sum())
    share /= 2 * sum(mask[0].numel() for mask in masks.values())
    flags = [
        context.with_sparse_below(bound).sparse_members(masks, 2).tolist() for bound in (0.0, share - 1e-6, share, 1.0)
    ]
    assert flags == [[False] * 2, [False] * 2, [True] * 2, [True] * 2]
    assert not context.with_sparse_below(0.99).sparse_members({}, 2).any()
    there = training_context("cifar-resnet", 8, 1 / 16).with_sparse_below(1.0)
    assert not there.sparse_members(there.masks(random_masks(there, 2, 0.1)), 2).any()


def test_features_that_are_no_bytes_are_laid_out_as_bytes_are() -> None:
    context = training_context(*LENET)
    compiled = compiled_for(vectors_here()[0])
    rng = np.random.default_rng(0)
    places, columns = torch.from_numpy(rng.integers(0, 90, (2, 60))), torch.from_numpy(rng.integers(0, 192, (2, 50)))
    order = torch.from_numpy(rng.integers(0, 60, (2, 13)))
    pictures = context.train_pictures
    assert isinstance(pictures, Pictures)
    source = pictures.innermost(places, columns, compiled)
    expected = pictures.of(places, columns).take(order).transpose(1, 2)
    for rows in (source.rows, source.rows.float(), source.rows.double()):
        taken = type(source)(rows, source.scale, source.shift, places, source.columns, compiled).take(order)
        assert taken.shape[2] == compiled.filled(13)
        torch.testing.assert_close(taken[:, :, :13], expected, rtol=0, atol=1e-12)
        assert not taken[:, :, 13:].any()
