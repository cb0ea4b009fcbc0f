"""Whether masks leave a way from input to output, against a search over single units."""

from __future__ import annotations

from collections import defaultdict, deque
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunescope.nets import Network, network
from prunescope.nets.network import Flags

Unit = tuple[str, int]


class Graph:
    """Units and the ways between them, searched breadth first."""

    def __init__(self) -> None:
        self._ways: dict[Unit, set[Unit]] = defaultdict(set)

    def layer(self, mask: Flags, below: str, above: str, spread: int = 1) -> None:
        """Add a way for each weight that survives; ``spread`` weights of a linear layer read one channel."""
        for out, into in product(range(mask.shape[0]), range(mask.shape[1])):
            if mask[out, into].any():
                self._ways[below, into // spread].add((above, out))

    def same(self, below: str, above: str, channels: int) -> None:
        for channel in range(channels):
            self._ways[below, channel].add((above, channel))

    def reaches(self, begin: list[Unit], last: str) -> bool:
        waiting, seen = deque(begin), set(begin)
        while waiting:
            unit = waiting.popleft()
            if unit[0] == last:
                return True
            for onward in self._ways[unit] - seen:
                seen.add(onward)
                waiting.append(onward)
        return False


def random_masks(net: Network, seed: int, density: float, rule: str) -> dict[str, Flags]:
    """Return masks that keep each weight, or each whole kernel, with a probability."""
    rng = np.random.default_rng(seed)
    masks = {}
    for parameter in net.outline.prunable(rule):
        if rng.random() < 0.3:
            masks[parameter.name] = rng.random(parameter.shape) < min(1, 2 * density)
        else:
            kernels = rng.random(parameter.shape[:2]) < density
            masks[parameter.name] = np.broadcast_to(
                kernels.reshape(*parameter.shape[:2], *[1] * (len(parameter.shape) - 2)), parameter.shape
            )
    return masks


def whole(net: Network, masks: dict[str, Flags]) -> dict[str, Flags]:
    """Return masks of all weights."""
    every = {parameter.name: np.ones(parameter.shape, bool) for parameter in net.outline.prunable("all")}
    return every | masks


def chain(masks: dict[str, Flags], names: list[str], inputs: int) -> bool:
    graph = Graph()
    for place, name in enumerate(names):
        graph.layer(masks[f"{name}.weight"], str(place), str(place + 1))
    return graph.reaches([("0", unit) for unit in range(inputs)], str(len(names)))


def residual(masks: dict[str, Flags], channels: int, blocks: int) -> bool:
    graph = Graph()
    graph.layer(masks["stem.conv.weight"], "input", "0")
    place = 0
    for segment, block in product(range(3), range(blocks)):
        name, here, onward = f"segment{segment}.block{block}", str(place), str(place + 1)
        graph.layer(masks[f"{name}.conv1.weight"], here, f"{name} inside")
        graph.layer(masks[f"{name}.conv2.weight"], f"{name} inside", onward)
        if f"{name}.shortcut.conv.weight" in masks:
            graph.layer(masks[f"{name}.shortcut.conv.weight"], here, onward)
        else:
            graph.same(here, onward, len(masks[f"{name}.conv2.weight"]))
        place += 1
    graph.layer(masks["output.weight"], str(place), "output")
    return graph.reaches([("input", channel) for channel in range(channels)], "output")


def bottlenecked(masks: dict[str, Flags], channels: int) -> bool:
    """Search a ResNet-50: three convolutions within a block, and a shortcut where shapes change."""
    graph = Graph()
    graph.layer(masks["stem.conv.weight"], "input", "0")
    place = 0
    for segment, blocks in enumerate((3, 4, 6, 3)):
        for block in range(blocks):
            name, here, onward = f"segment{segment}.block{block}", str(place), str(place + 1)
            steps = [here, f"{name} first", f"{name} second", onward]
            for layer in range(3):
                graph.layer(masks[f"{name}.conv{layer + 1}.weight"], steps[layer], steps[layer + 1])
            if block == 0:
                graph.layer(masks[f"{name}.shortcut.conv.weight"], here, onward)
            else:
                graph.same(here, onward, len(masks[f"{name}.conv3.weight"]))
            place += 1
    graph.layer(masks["output.weight"], str(place), "output")
    return graph.reaches([("input", channel) for channel in range(channels)], "output")


def densely(masks: dict[str, Flags], channels: int) -> bool:
    """Search a DenseNet: each channel is a unit of its own, which every later layer of its segment reads."""
    graph = Graph()
    graph.layer(masks["stem.conv.weight"], "input", "0 0")
    sizes = {"0 0": len(masks["stem.conv.weight"])}
    for segment, layers in enumerate((6, 12, 24, 16)):
        if segment:
            mask = masks[f"transition{segment}.conv.weight"]
            graph.layer(mask, f"{segment - 1} end", f"{segment} 0")
            sizes[f"{segment} 0"] = len(mask)
        for layer in range(layers):
            name, here, onward = f"segment{segment}.layer{layer}", f"{segment} {layer}", f"{segment} {layer + 1}"
            onward = f"{segment} end" if layer == layers - 1 else onward
            first, second = masks[f"{name}.conv1.weight"], masks[f"{name}.conv2.weight"]
            graph.layer(first, here, f"{name} inside")
            graph.same(here, onward, sizes[here])
            behind = np.concatenate([np.zeros((sizes[here], *second.shape[1:]), bool), second])
            graph.layer(behind, f"{name} inside", onward)
            sizes[onward] = len(behind)
    graph.layer(masks["output.weight"], "3 end", "output")
    return graph.reaches([("input", channel) for channel in range(channels)], "output")


seeds = st.integers(0, 2**32)
rules = st.sampled_from(["all", "all-but-output"])


@given(seeds, st.floats(0, 0.4), rules)
def test_a_dense_network_is_connected_as_its_units_are(seed: int, density: float, rule: str) -> None:
    net = network("lenet", 4, 0.02, 2, (2, 2, 2))
    masks = random_masks(net, seed, density, rule)
    names = ["hidden1", "hidden2", "hidden3", "output"]
    assert net.connected(masks) == chain(whole(net, masks), names, 8)


@given(seeds, st.floats(0.05, 0.9), rules)
def test_a_plain_convolutional_network_is_connected_as_its_channels_are(seed: int, density: float, rule: str) -> None:
    net = network("vgg", 16, 1 / 64, 2, (3, 8, 8))
    masks = random_masks(net, seed, density, rule)
    names = [*(f"conv{layer}" for layer in range(13)), "output"]
    assert net.connected(masks) == chain(whole(net, masks), names, 3)


@pytest.mark.parametrize("depth", [8, 14])
@given(seed=seeds, density=st.floats(0, 0.7), rule=rules)
def test_a_residual_network_is_connected_as_its_channels_and_shortcuts_are(
    depth: int, seed: int, density: float, rule: str
) -> None:
    net = network("cifar-resnet", depth, 1 / 16, 3, (2, 8, 8))
    masks = random_masks(net, seed, density, rule)
    assert net.connected(masks) == residual(whole(net, masks), 2, (depth - 2) // 6)


@given(seed=seeds, density=st.floats(0.05, 0.7), rule=rules)
def test_a_network_of_bottlenecks_is_connected_as_its_channels_are(seed: int, density: float, rule: str) -> None:
    net = network("imagenet-resnet", 50, 1 / 64, 3, (2, 8, 8))
    masks = random_masks(net, seed, density, rule)
    assert net.connected(masks) == bottlenecked(whole(net, masks), 2)


@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 70, 8)])
@given(seed=seeds, density=st.floats(0.02, 0.7), rule=rules)
def test_a_densenet_is_connected_as_its_channels_are(
    shape: tuple[int, int, int], seed: int, density: float, rule: str
) -> None:
    net = network("densenet", 121, 1 / 32, 3, shape)
    masks = random_masks(net, seed, density, rule)
    assert net.connected(masks) == densely(whole(net, masks), 2)


def test_both_answers_come_up_in_what_is_searched() -> None:
    cases = [
        ("lenet", 4, 1 / 32, 0.2),
        ("cifar-resnet", 14, 1 / 32, 0.35),
        ("vgg", 16, 1 / 64, 0.5),
        ("imagenet-resnet", 50, 1 / 64, 0.4),
        ("densenet", 121, 1 / 32, 0.3),
    ]
    for family, depth, width, density in cases:
        net = network(family, depth, width, 2, (2, 8, 8))
        answers = {
            net.connected(random_masks(net, seed, density * scale, "all")) for seed in range(30) for scale in (0.1, 1)
        }
        assert answers == {True, False}, family


def test_a_shortcut_alone_keeps_a_block_connected() -> None:
    net = network("cifar-resnet", 14, 1 / 16, 3, (1, 8, 8))
    masks = whole(net, {})
    for name in masks:
        if "conv1" in name or "conv2" in name:
            masks[name] = np.zeros_like(masks[name])
    assert net.connected(masks)
    masks["segment1.block0.shortcut.conv.weight"] = np.zeros((2, 1, 1, 1), bool)
    assert not net.connected(masks)
