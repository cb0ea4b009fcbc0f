"""Masks of whole networks, against torch's own pruning; as bits and back."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.prune import L1Unstructured, global_unstructured, l1_unstructured

from prunescope.errors import DamageError
from prunescope.nets import Network, ParameterOutline, network
from prunescope.nets.outline import Start
from prunescope.prune import Masks, full, kept_count, prune, unpacked
from tests.nets.members import of_member, stacked
from tests.nets.modules import plain

LEVELS = 9


def trained(net: Network, seed: int, masks: Masks) -> dict[str, np.ndarray]:
    """Return weights as after a training: what is pruned is zero."""
    drawn = net.start(np.random.default_rng(seed))
    named = masks.by_name()
    return {name: values * named[name] if name in named else values for name, values in drawn.items()}


def parts(module: nn.Module, masks: Masks) -> list[tuple[nn.Module, str]]:
    return [(module.get_submodule(layer.name.removesuffix(".weight")), "weight") for layer in masks.layers]


def put(module: nn.Module, weight: torch.Tensor) -> None:
    """Give a module another weight; once torch has pruned it, its weight is an attribute and no parameter."""
    if isinstance(module.weight, nn.Parameter):
        module.weight.data.copy_(weight)
    else:
        module.weight = weight


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize(("family", "depth", "rule"), [("lenet", 3, "all-but-output"), ("cifar-resnet", 8, "all")])
def test_masks_are_those_of_torch_level_after_level(family: str, depth: int, rule: str, scope: str) -> None:
    net = network(family, depth, 0.25, 10, (3, 8, 8))
    masks = full(net.outline.prunable(rule))
    module = plain(family, (3, 8, 8), depth, 0.25, 10)
    layers = parts(module, masks)
    for level in range(1, LEVELS):
        weights = trained(net, level, masks)
        for target, layer in zip(layers, masks.layers, strict=True):
            put(target[0], torch.from_numpy(weights[layer.name]))
        masks = prune(
            masks,
            weights,
            keep=partial(kept_count, fraction=0.2, level=level),
            by="magnitude",
            scope=scope,
            draws=np.random.default_rng,
        )
        sizes = [layer.size for layer in masks.layers]
        if scope == "global":
            gone = round(sum(sizes) * 0.8 ** (level - 1)) - round(sum(sizes) * 0.8**level)
            global_unstructured(layers, pruning_method=L1Unstructured, amount=gone)
            assert masks.kept == round(sum(sizes) * 0.8**level)
        else:
            for target, size in zip(layers, sizes, strict=True):
                gone = round(size * 0.8 ** (level - 1)) - round(size * 0.8**level)
                l1_unstructured(*target, amount=gone)  # type: ignore[no-untyped-call]
            assert masks.kept == sum(round(size * 0.8**level) for size in sizes)
        named = masks.by_name()
        for target, layer in zip(layers, masks.layers, strict=True):
            theirs = target[0].weight_mask
            assert isinstance(theirs, torch.Tensor)
            assert np.array_equal(named[layer.name], theirs.numpy() != 0), (level, layer.name)


def test_equal_weights_go_in_the_networks_order() -> None:
    layers = (parameter("late", 3), parameter("early", 2, 2))
    ones = {"late": np.ones(3), "early": -np.ones((2, 2))}
    masks = prune(
        full(layers),
        ones,
        keep=partial(kept_count, fraction=0.5, level=1),
        by="magnitude",
        scope="global",
        draws=np.random.default_rng,
    )
    assert masks.by_name()["late"].tolist() == [False, False, False]
    assert masks.by_name()["early"].tolist() == [[True, True], [True, True]]


def parameter(name: str, *shape: int) -> ParameterOutline:
    return ParameterOutline(name, shape, Start.KAIMING, weight=True)


@given(st.integers(0, 2**32), st.integers(1, 6), st.sampled_from(["global", "layer"]), st.floats(0.05, 0.9))
def test_masks_are_nested_and_of_the_size_of_their_level(seed: int, levels: int, scope: str, fraction: float) -> None:
    layers = (parameter("a", 7), parameter("b", 3, 4), parameter("c", 1))
    masks, draws = full(layers), np.random.default_rng(seed)
    assert masks.kept == masks.prunable == 20
    for level in range(1, levels + 1):
        weights = {layer.name: draws.integers(-3, 4, layer.shape).astype(float) for layer in layers}
        after = prune(
            masks,
            weights,
            keep=partial(kept_count, fraction=fraction, level=level),
            by="magnitude",
            scope=scope,
            draws=lambda: draws,
        )
        assert after.within(masks)
        assert (after.kept == masks.kept) == masks.within(after)
        counts = [20] if scope == "global" else [7, 12, 1]
        assert after.kept == sum(round(size * (1 - fraction) ** level) for size in counts)
        assert sum(int(mask.sum()) for mask in after.by_name().values()) == after.kept
        masks = after


@given(st.integers(0, 2**32), st.integers(1, 33))
def test_bits_come_back_as_the_mask_for_every_size(seed: int, size: int) -> None:
    layers = (parameter("a", size), parameter("b", 2, 3))
    masks = Masks(layers, np.random.default_rng(seed).random(size + 6) < 0.5)
    packed = masks.packed()
    assert packed.nbytes == -(-(size + 6) // 8)
    assert np.array_equal(unpacked(layers, packed).flat, masks.flat)
    assert np.array_equal(masks.by_name()["b"].reshape(-1), masks.flat[size:])


@pytest.mark.parametrize(
    "packed", [np.zeros(2, np.uint8), np.zeros(4, np.uint8), np.zeros(3, np.int16), np.zeros((3, 1), np.uint8)]
)
def test_bits_of_another_network_are_damage(packed: np.ndarray) -> None:
    with pytest.raises(DamageError, match="a mask of 17 weights must be 3 bytes"):
        unpacked([parameter("a", 17)], packed)


def test_masks_name_the_tensors_that_training_has() -> None:
    net = network("cifar-resnet", 8, 1 / 16, 4, (3, 8, 8))
    state = of_member(stacked(net, 1), 0)
    assert all(state[name].shape == mask.shape for name, mask in full(net.outline.prunable("all")).by_name().items())
