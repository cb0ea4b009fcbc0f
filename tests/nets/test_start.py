"""How networks stand before training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prunescope.nets import network
from prunescope.study.sections import NormStart
from tests.nets.members import ALONE

STARTS: tuple[NormStart, ...] = ("uniform", "ones", "zero-last")


def test_weights_start_normal_with_variance_2_by_fan_in_and_norms_between_0_and_1() -> None:
    net = network("cifar-resnet", 20, 2.0, 10, (3, 32, 32))
    drawn = net.start(np.random.default_rng(5))
    scales = []
    for parameter in net.outline.parameters:
        values = drawn[parameter.name]
        assert values.shape == parameter.shape
        if parameter.weight:
            fan_in = np.prod(parameter.shape[1:])
            relative = values.reshape(-1) / np.sqrt(2 / fan_in)
            wide = 6 / np.sqrt(values.size)
            assert abs(relative.mean()) < wide
            assert abs((relative**2).mean() - 1) < wide * np.sqrt(2)
            assert abs((relative**4).mean() - 3) < wide * np.sqrt(96)
        elif parameter.name.endswith("norm1.weight"):
            scales.append(values)
        elif "norm" in parameter.name and parameter.name.endswith("bias"):
            assert not values.any()
    together = np.concatenate(scales)
    assert 0 <= together.min() < 0.02
    assert 0.98 < together.max() <= 1
    assert abs(together.mean() - 0.5) < 6 / np.sqrt(12 * together.size)
    assert abs(together.var() - 1 / 12) < 6 / np.sqrt(180 * together.size)
    assert all(not drawn[buffer.name].any() for buffer in net.outline.buffers if "mean" in buffer.name)
    assert all((drawn[buffer.name] == 1).all() for buffer in net.outline.buffers if "var" in buffer.name)


def test_biases_of_linear_layers_start_as_torch_has_them() -> None:
    drawn = network("lenet", 3, 4.0, 10, (1, 28, 28)).start(np.random.default_rng(1))
    for name, fan_in in (("hidden1.bias", 784), ("hidden2.bias", 1200)):
        bound = 1 / np.sqrt(fan_in)
        assert 0.95 * bound < np.abs(drawn[name]).max() <= bound
        assert abs(drawn[name].mean()) < 6 * bound / np.sqrt(3 * drawn[name].size)


@pytest.mark.parametrize(
    ("family", "depth", "branches"),
    [
        ("cifar-resnet", 14, 6),
        ("imagenet-resnet", 18, 8),
        ("imagenet-resnet", 50, 16),
        ("vgg", 16, 0),
        ("densenet", 121, 0),
    ],
)
def test_a_recipe_says_how_normalisations_start_and_changes_nothing_else(
    family: str, depth: int, branches: int
) -> None:
    net = network(family, depth, 1 / 32, 10, (3, 16, 16))
    uniform, ones, zero = (net.start(np.random.default_rng(3), norms) for norms in STARTS)
    assert all(np.array_equal(uniform[name], net.start(np.random.default_rng(3))[name]) for name in uniform)
    scales = {name for name in uniform if "norm" in name and name.endswith(".weight")}
    for name in uniform:
        if name in scales:
            assert len(np.unique(uniform[name])) == uniform[name].size
            assert (ones[name] == 1).all()
        else:
            assert np.array_equal(uniform[name], ones[name])
            assert np.array_equal(uniform[name], zero[name])
    last = {name for name in scales if not zero[name].any()}
    wanted = f"norm{3 if depth == 50 else 2}.weight"
    assert len(last) == branches
    assert all(name.endswith(wanted) and "shortcut" not in name for name in last)
    assert all((zero[name] == 1).all() for name in scales - last)


def test_a_residual_branch_that_starts_from_zero_passes_on_what_it_is_given() -> None:
    """The network begins as if it had none: another kernel of a branch changes no logit."""
    net = network("imagenet-resnet", 18, 1 / 16, 10, (3, 16, 16))
    x = torch.randn(1, 4, 16, 16, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for norms, changes in zip(STARTS, (True, True, False), strict=True):
        drawn = {
            name: torch.from_numpy(values)[None] for name, values in net.start(np.random.default_rng(3), norms).items()
        }
        logits = net.logits(drawn, x, False, ALONE)
        drawn["segment2.block1.conv1.weight"] = -drawn["segment2.block1.conv1.weight"]
        assert torch.equal(net.logits(drawn, x, False, ALONE), logits) != changes


@pytest.mark.parametrize(
    "family", ["lenet", "cifar-resnet", "vgg", "imagenet-resnet", "densenet", "tests.nets.modules:own"]
)
def test_the_same_chance_draws_the_same_network_and_another_one_another(family: str) -> None:
    depth = {"lenet": 3, "cifar-resnet": 8, "vgg": 16, "imagenet-resnet": 50, "densenet": 121}.get(family, 2)
    net = network(family, depth, 0.1, 10, (1, 8, 8))
    first, again, other = (net.start(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert list(first) == list(again)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    constant = {
        parameter.name
        for parameter in net.outline.parameters
        if len(np.unique(first[parameter.name])) == 1 < parameter.size
    }
    assert all("norm" in name for name in constant)
    for parameter in net.outline.parameters:
        if parameter.size > 1:
            assert np.array_equal(first[parameter.name], other[parameter.name]) == (parameter.name in constant)
