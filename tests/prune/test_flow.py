"""Synaptic flow: the product written out, its conservation law, and the small steps of one pruning step."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from prunescope.nets.network import Designed
from prunescope.prune import Masks, full, keep_highest, kept_count, prune
from prunescope.prune.scores import ROUNDS, synaptic_flow
from tests.prune.probes import probe


def test_a_weight_scores_the_flow_through_it() -> None:
    net_probe = probe(density=0.6)
    first, second, third = (item.detach().abs().numpy() for item in net_probe.weights().values())
    above = [third.sum(0) @ second, third.sum(0), np.ones(len(third))]
    below = [np.ones(first.shape[1]), first.sum(1), second @ first.sum(1)]
    result = synaptic_flow(net_probe)
    for values, into, out, scores in zip((first, second, third), below, above, result.values(), strict=True):
        np.testing.assert_allclose(scores.numpy(), values * np.outer(out, into), rtol=1e-12)


@pytest.mark.parametrize("density", [1.0, 0.3])
def test_every_layer_carries_the_same_flow(density: float) -> None:
    sums = [float(item.sum()) for item in synaptic_flow(probe(density=density)).values()]
    assert sums[0] > 0
    assert sums == pytest.approx([sums[0]] * 3, rel=1e-12)


def test_as_much_flows_into_a_channel_as_out_of_it() -> None:
    """Through convolutions, normalisations with statistics of their own, and ReLU."""
    result = synaptic_flow(probe("cifar-resnet", density=0.7))
    for block in ("segment0.block0", "segment1.block0", "segment2.block0"):
        into, out = result[f"{block}.conv1.weight"], result[f"{block}.conv2.weight"]
        np.testing.assert_allclose(into.sum((1, 2, 3)).numpy(), out.sum((0, 2, 3)).numpy(), rtol=1e-10)
        assert float(into.sum()) > 0


def test_one_pruning_step_is_taken_in_small_ones() -> None:
    net_probe = probe()
    weights = {name: values.detach().numpy() for name, values in net_probe.weights().items()}
    whole = full(net_probe.masks.layers)
    result = prune(
        whole,
        weights,
        keep=partial(kept_count, fraction=0.9, level=1),
        by="synaptic-flow",
        scope="global",
        draws=np.random.default_rng,
        probe=lambda masks: replace(net_probe, masks=masks),
    )
    mask, size = whole.flat, whole.prunable
    for round_ in range(1, ROUNDS + 1):
        scores = synaptic_flow(replace(net_probe, masks=Masks(whole.layers, mask)))
        flat = torch.cat([item.reshape(-1) for item in scores.values()]).numpy()
        wanted = (
            round(0.1 * size) if round_ == ROUNDS else round(size * (round(0.1 * size) / size) ** (round_ / ROUNDS))
        )
        mask = keep_highest(flat, mask, wanted)
    assert np.array_equal(result.flat, mask)
    at_once = torch.cat([item.reshape(-1) for item in synaptic_flow(net_probe).values()]).numpy()
    assert not np.array_equal(result.flat, keep_highest(at_once, whole.flat, round(0.1 * size)))


@pytest.mark.parametrize("level", [1, 10, 20])
def test_layers_keep_their_own_shares_where_ranks_are_by_layer(level: int) -> None:
    net_probe = probe()
    result = prune(
        full(net_probe.masks.layers),
        {name: values.detach().numpy() for name, values in net_probe.weights().items()},
        keep=partial(kept_count, fraction=0.2, level=level),
        by="synaptic-flow",
        scope="layer",
        draws=np.random.default_rng,
        probe=lambda masks: replace(net_probe, masks=masks),
    )
    for layer in net_probe.masks.layers:
        assert result.by_name()[layer.name].sum() == round(layer.size * 0.8**level)


def test_no_layer_empties_before_the_others() -> None:
    """What the small steps are for (Tanaka et al. 2020): a path stays while there are weights for one."""
    net_probe = probe(seed=2)
    weights = {name: values.detach().numpy() for name, values in net_probe.weights().items()}
    result = prune(
        full(net_probe.masks.layers),
        weights,
        keep=partial(kept_count, fraction=1 - 6 / net_probe.masks.prunable, level=1),
        by="synaptic-flow",
        scope="global",
        draws=np.random.default_rng,
        probe=lambda masks: replace(net_probe, masks=masks),
    )
    assert result.kept == 6
    assert isinstance(net_probe.network, Designed)
    assert net_probe.network.connected(result.by_name())
