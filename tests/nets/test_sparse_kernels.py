"""Products of our own with few weights: sanitizers, what they refuse, and what happens without a compiler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from prunescope.nets.kernels import Vectors, vectors_here
from prunescope.nets.sparse_kernels import KeptWeights, SparseKernels, SparseLayer, sparse_kernels
from prunescope.train.dense import DenseEngine
from tests.nets.sanitizers import on_sanitized, sanitized
from tests.train.cohorts import random_masks, starts, training_context

on_all_vectors = pytest.mark.parametrize("vectors", vectors_here(), ids=lambda vectors: vectors.name)


@on_sanitized
def test_sanitizers_find_nothing_in_random_networks(vectors: Vectors, real: str, tmp_path: Path) -> None:
    assert int(sanitized("sparse_check.c", vectors, real, tmp_path, 60)) == 60


def built(vectors: Vectors) -> SparseKernels:
    compiled = sparse_kernels(torch.float64, vectors)
    if compiled is None:
        pytest.skip("no compiler that works")
    assert compiled.lanes == vectors.size // 8
    return compiled


def whole(*values: int) -> Tensor:
    return torch.tensor([values], dtype=torch.int32)


def one_layer() -> SparseLayer:
    """Two units, three inputs, three weights of one member."""
    kept = KeptWeights(1, whole(0, 1, 3), whole(2, 0, 1), None, None, None)
    weight, bias = torch.tensor([[2.0, 3.0, 5.0]], dtype=torch.float64), torch.ones(1, 2, dtype=torch.float64)
    return SparseLayer(3, 2, kept, weight, bias, torch.zeros_like(weight), torch.zeros_like(bias))


@on_all_vectors
def test_a_layer_is_computed_and_differentiated(vectors: Vectors) -> None:
    compiled, layer = built(vectors), one_layer()
    batch = compiled.batch([layer], compiled.lanes)
    x = torch.arange(3.0 * compiled.lanes, dtype=torch.float64).view(1, 3, -1)
    values = batch.forward(x)[0]
    torch.testing.assert_close(values, torch.stack([1 + 2 * x[0, 2], 1 + 3 * x[0, 0] + 5 * x[0, 1]]))
    batch.changes[-1][:] = 2
    batch.backward(x)
    torch.testing.assert_close(layer.by_weight[0], 2 * x[0, [2, 0, 1]].sum(1))
    torch.testing.assert_close(layer.by_bias[0], torch.full_like(layer.bias[0], 2 * compiled.lanes))


@on_all_vectors
@pytest.mark.parametrize(
    "wrong",
    [
        lambda layer: replace(layer, inputs=0),
        lambda layer: replace(layer, outputs=3),
        lambda layer: replace(layer, kept=replace(layer.kept, blocks=0)),
        lambda layer: replace(layer, kept=replace(layer.kept, blocks=2)),
        lambda layer: replace(layer, weight=layer.weight.float()),
        lambda layer: replace(layer, bias=torch.zeros(1, 4, dtype=torch.float64)[:, ::2]),
        lambda layer: replace(layer, by_weight=layer.by_weight[:, 1:]),
        lambda layer: replace(layer, kept=replace(layer.kept, row=whole(0, 1, 4))),
        lambda layer: replace(layer, kept=replace(layer.kept, row=whole(1, 1, 3))),
        lambda layer: replace(layer, kept=replace(layer.kept, row=whole(0, 3, 2))),
        lambda layer: replace(layer, kept=replace(layer.kept, input=whole(2, 0, 3))),
        lambda layer: replace(layer, kept=replace(layer.kept, input=whole(2, -1, 1))),
        lambda layer: replace(layer, kept=replace(layer.kept, input=layer.kept.input.long())),
    ],
)
def test_layers_that_do_not_fit_are_refused(vectors: Vectors, wrong: Callable[[SparseLayer], SparseLayer]) -> None:
    compiled = built(vectors)
    with pytest.raises(ValueError, match="must"):
        compiled.batch([wrong(one_layer())], compiled.lanes)


@on_all_vectors
def test_layers_that_do_not_follow_each_other_and_inputs_that_do_not_fit_are_refused(vectors: Vectors) -> None:
    compiled = built(vectors)
    with pytest.raises(ValueError, match="must"):
        compiled.batch([one_layer(), one_layer()], compiled.lanes)
    back: dict[str, Any] = {"column": whole(0, 1, 2, 3), "output": whole(1, 1, 0), "place": whole(1, 2, 0)}
    above = replace(one_layer(), kept=replace(one_layer().kept, row=whole(0, 1, 3), input=whole(1, 0, 1)), inputs=2)
    with pytest.raises(ValueError, match="indices must"):  # a layer above another is led through on the way back
        compiled.batch([one_layer(), above], compiled.lanes)
    two: dict[str, Any] = {"column": whole(0, 1, 3), "output": whole(1, 0, 1), "place": whole(1, 0, 2)}
    compiled.batch([one_layer(), replace(above, kept=replace(above.kept, **two))], compiled.lanes)
    with pytest.raises(ValueError, match="must"):
        compiled.batch([one_layer(), replace(above, kept=replace(above.kept, **back))], compiled.lanes)
    batch = compiled.batch([one_layer()], compiled.lanes)
    for x in (torch.zeros(1, 3, compiled.lanes), torch.zeros(1, 3, compiled.lanes + 1, dtype=torch.float64)):
        for call in (batch.forward, batch.backward):
            with pytest.raises(ValueError, match="must"):
                call(x)
    odd = compiled.batch([one_layer()], compiled.lanes + 1)
    with pytest.raises(ValueError, match="fill vectors"):
        odd.forward(torch.zeros(1, 3, compiled.lanes + 1, dtype=torch.float64))


@on_all_vectors
@pytest.mark.parametrize("wrong", ["place", "column", "scale", "bytes"])
def test_rows_that_cannot_be_laid_out_are_refused(vectors: Vectors, wrong: str) -> None:
    compiled, ones = built(vectors), torch.ones(3, dtype=torch.float64)
    call = {
        "bytes_": torch.arange(12, dtype=torch.uint8).view(4, 3),
        "places": torch.tensor([[3, 0]]),
        "columns": whole(2, 1),
        "scale": ones,
        "shift": ones,
    }
    laid_out = compiled.lay_out(**call)
    assert laid_out[0, :, :2].tolist() == [[12, 3], [11, 2]]
    assert not laid_out[0, :, 2:].any()
    changed = {
        "place": {"places": torch.tensor([[4, 0]])},
        "column": {"columns": whole(3, 1)},
        "scale": {"scale": ones[1:]},
        "bytes": {"bytes_": torch.zeros(4, 3)},
    }
    with pytest.raises(ValueError, match="must"):
        compiled.lay_out(**call | changed[wrong])


def test_without_a_compiler_steps_are_dense(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert sparse_kernels.__wrapped__(torch.float64) is None
    monkeypatch.setattr("prunescope.train.training_context.sparse_kernels", sparse_kernels.__wrapped__)
    context = training_context("lenet", 3, 0.5).with_sparse_below(1.0)
    assert isinstance(context.engine(*starts(context, random_masks(context, 2, 0.1))), DenseEngine)
