"""SNIP's and GraSP's scores against finite differences."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from prunescope.prune import Probe
from prunescope.prune.scores import gradient, gradient_flow
from tests.prune.probes import probe, written_out

STEP = 1e-5


def at_masks(net_probe: Probe) -> dict[str, Tensor]:
    return {name: values.detach().clone() for name, values in net_probe.weights().items()}


def slope(net_probe: Probe, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the gradient of the loss by hand."""
    free = {name: values.clone().requires_grad_() for name, values in weights.items()}
    gradients = torch.autograd.grad(written_out(net_probe, free), list(free.values()))
    return dict(zip(free, gradients, strict=True))


def some_places(weights: Mapping[str, Tensor], count: int = 12) -> list[tuple[str, int]]:
    rng = np.random.default_rng(1)
    return [(name, int(place)) for name, values in weights.items() for place in rng.integers(0, values.numel(), count)]


@pytest.mark.parametrize("density", [1.0, 0.5])
def test_the_gradient_score_is_what_shrinking_a_weight_changes_in_the_loss(density: float) -> None:
    net_probe = probe(density=density)
    weights, scores = at_masks(net_probe), gradient(net_probe)
    for name, place in some_places(weights):
        sides = []
        for step in (STEP, -STEP):
            moved = {**weights, name: weights[name].clone()}
            moved[name].view(-1)[place] *= 1 + step
            sides.append(float(written_out(net_probe, moved)))
        wanted = abs(sides[0] - sides[1]) / (2 * STEP)
        assert float(scores[name].view(-1)[place]) == pytest.approx(wanted, abs=1e-9)


def test_the_gradient_score_goes_through_convolutions_in_evaluation_mode() -> None:
    net_probe = probe("cifar-resnet")
    weights, scores = at_masks(net_probe), gradient(net_probe)
    before = {name: values.clone() for name, values in net_probe.tensors.items()}
    for name, place in some_places(weights, 4):
        sides = []
        for step in (STEP, -STEP):
            moved = {**weights, name: weights[name].clone()}
            moved[name].view(-1)[place] *= 1 + step
            sides.append(float(net_probe.loss(moved)))
        wanted = abs(sides[0] - sides[1]) / (2 * STEP)
        assert float(scores[name].view(-1)[place]) == pytest.approx(wanted, abs=1e-8)
    assert all(torch.equal(values, net_probe.tensors[name]) for name, values in before.items())


@pytest.mark.parametrize("density", [1.0, 0.5])
def test_the_flow_score_is_the_weight_times_the_hessian_times_the_gradient(density: float) -> None:
    net_probe = probe(density=density)
    weights, scores = at_masks(net_probe), gradient_flow(net_probe)
    along = slope(net_probe, weights)
    ends = [
        slope(net_probe, {name: values + step * along[name] for name, values in weights.items()})
        for step in (STEP, -STEP)
    ]
    for name, values in weights.items():
        curved = (ends[0][name] - ends[1][name]) / (2 * STEP)
        np.testing.assert_allclose(scores[name].numpy(), (values * curved).numpy(), rtol=1e-5, atol=1e-8)
    assert any(float(item.abs().max()) > 1e-3 for item in scores.values())


def test_removing_what_scores_lowest_leaves_the_most_gradient_flow() -> None:
    """GraSP's sign: the score is what the flow loses, to first order, as a weight is taken away."""
    net_probe = probe()
    weights, scores = at_masks(net_probe), gradient_flow(net_probe)

    def flow(weights: Mapping[str, Tensor]) -> float:
        return sum(float(item.square().sum()) for item in slope(net_probe, weights).values()) / 2

    whole = flow(weights)
    for name, place in some_places(weights, 4):
        less = {**weights, name: weights[name].clone()}
        less[name].view(-1)[place] *= 1 - STEP
        lost = (whole - flow(less)) / STEP
        assert float(scores[name].view(-1)[place]) == pytest.approx(lost, abs=2e-4)


@pytest.mark.parametrize("score", [gradient, gradient_flow])
@pytest.mark.parametrize("family", ["lenet", "cifar-resnet"])
def test_batches_change_nothing_but_rounding(score: type, family: str) -> None:
    whole, parts = score(probe(family)), score(probe(family, batch=5))
    for name, values in whole.items():
        np.testing.assert_allclose(parts[name].numpy(), values.numpy(), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("score", [gradient, gradient_flow])
def test_weights_that_are_gone_score_nothing(score: type) -> None:
    net_probe = probe(density=0.5)
    for name, mask in net_probe.masks.by_name().items():
        assert not score(net_probe)[name][torch.from_numpy(~mask)].any()
