"""How networks stand before training."""

from __future__ import annotations

import numpy as np
import pytest

from prunescope.nets import network


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


@pytest.mark.parametrize("family", ["lenet", "cifar-resnet", "vgg", "tests.nets.modules:own"])
def test_the_same_chance_draws_the_same_network_and_another_one_another(family: str) -> None:
    depth = {"lenet": 3, "cifar-resnet": 8, "vgg": 16}.get(family, 2)
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
