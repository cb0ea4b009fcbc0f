"""What is left when cut-off units are removed computes what the masked network computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunescope.errors import DamageError
from prunescope.export.conversion import folded, shrunk, traced
from prunescope.export.program import Program, Step
from tests.export.members import LARGE, MEMBERS, SHAPE, Arrays, computed, masked, member, original, pictures


def small(net_tensors: Arrays, family: str, depth: int, width: float) -> Program:
    return shrunk(folded(traced(member(family, depth, width), net_tensors)))


def agree(family: str, depth: int, width: float, tensors: Arrays) -> Program:
    """Hold the small network against the masked one; return the small one."""
    x, smaller = pictures(), small(tensors, family, depth, width)
    wanted = original(member(family, depth, width), tensors, x)
    torch.testing.assert_close(computed(smaller, x), wanted, rtol=1e-9, atol=1e-9 * max(1, float(wanted.abs().max())))
    return smaller


@pytest.mark.parametrize(("family", "depth", "width"), MEMBERS)
def test_a_traced_network_computes_what_its_family_computes(family: str, depth: int, width: float) -> None:
    net, x = member(family, depth, width), pictures()
    tensors = masked(net, 0.7, 1)
    program = traced(net, tensors)
    torch.testing.assert_close(computed(program, x), original(net, tensors, x), rtol=1e-10, atol=1e-10)
    assert program.multiplications == net.outline.multiplications
    first = family == "densenet"  # its layers begin with a normalisation of all that is before them
    assert [step.kind for step in folded(program).steps].count("norm") == (58 + 3 + 1 if first else 0)


@pytest.mark.parametrize(("family", "depth", "width"), MEMBERS)
@settings(max_examples=12, deadline=None)
@given(density=st.sampled_from([0.003, 0.02, 0.08, 0.2, 0.5, 1.0]), seed=st.integers(0, 2**20))
def test_without_cut_off_units_the_logits_are_the_same(
    family: str, depth: int, width: float, density: float, seed: int
) -> None:
    agree(family, depth, width, masked(member(family, depth, width), density, seed))


@pytest.mark.parametrize(("family", "depth", "width"), MEMBERS)
def test_any_layer_may_be_cut_off_as_a_whole(family: str, depth: int, width: float) -> None:
    net = member(family, depth, width)
    whole = traced(net, masked(net, 1.0, 0))
    for parameter in net.outline.prunable("all")[:: 7 if depth > 40 else 1]:
        smaller = agree(family, depth, width, masked(net, 0.6, 3, (parameter.name,)))
        assert smaller.multiplications < whole.multiplications


@pytest.mark.parametrize(("family", "depth", "width"), MEMBERS)
def test_a_network_that_nothing_reaches_is_its_constant_logits(family: str, depth: int, width: float) -> None:
    net = member(family, depth, width)
    every = tuple(parameter.name for parameter in net.outline.prunable("all"))
    smaller = agree(family, depth, width, masked(net, 1.0, 5, every))
    assert [step.kind for step in smaller.steps] == ["constant"]
    assert smaller.multiplications == 0
    first = every[0]
    cut = agree(family, depth, width, masked(net, 1.0, 5, (first,)))
    assert family != "lenet" or [step.kind for step in cut.steps] == ["constant"]


@pytest.mark.parametrize(("family", "depth"), [("imagenet-resnet", 18), ("densenet", 121)])
@pytest.mark.parametrize("density", [0.05, 0.3, 1.0])
def test_the_beginning_for_large_pictures_is_exported_too(family: str, depth: int, density: float) -> None:
    net, x = member(family, depth, 1 / 16, LARGE), pictures(3, shape=LARGE)
    tensors = masked(net, density, 2)
    program = traced(net, tensors)
    assert "max_pool_3" in {step.kind for step in program.steps}
    wanted = original(net, tensors, x)
    for exported in (program, shrunk(folded(program))):
        torch.testing.assert_close(computed(exported, x), wanted, rtol=1e-9, atol=1e-9 * float(wanted.abs().max()))


def test_a_channel_that_many_layers_read_goes_when_none_of_them_reads_it() -> None:
    """What a DenseNet's first layer adds is read by the five after it and by what follows them."""
    family, depth, width = "densenet", 121, 1 / 16
    net = member(family, depth, width)
    tensors = masked(net, 1.0, 1)
    growth = 2
    readers = [f"segment0.layer{layer}.conv1.weight" for layer in range(1, 6)] + ["transition1.conv.weight"]
    added = slice(2 * growth, 3 * growth)
    whole = shrunk(folded(traced(net, tensors)))
    for name in readers[:-1]:
        tensors[name][:, added] = 0.0
    read = agree(family, depth, width, tensors)
    assert len(read.tensors["segment0.layer0.conv2.weight"]) == growth, "the transition still reads it"
    tensors[readers[-1]][:, added] = 0.0
    smaller = agree(family, depth, width, tensors)
    assert "segment0.layer0.conv2.weight" not in smaller.tensors
    for name in readers:
        assert smaller.tensors[name].shape[1] == whole.tensors[name].shape[1] - growth
    assert len(smaller.tensors["transition1.norm.weight"]) == len(tensors["transition1.norm.weight"]) - growth


def test_a_branch_that_is_cut_off_is_not_computed() -> None:
    family, depth, width = "cifar-resnet", 14, 0.25
    net = member(family, depth, width)
    whole = folded(traced(net, masked(net, 1.0, 0)))
    smaller = agree(family, depth, width, masked(net, 1.0, 7, ("segment0.block1.conv2.weight",)))
    names = {step.name for step in smaller.steps}
    assert not names & {"segment0.block1.conv1", "segment0.block1.conv2"}
    assert sum(step.kind == "shift" for step in smaller.steps) == 1
    assert (
        len([step for step in smaller.steps if step.kind == "conv"])
        == len([step for step in whole.steps if step.kind == "conv"]) - 2
    )


def test_the_smallest_network_is_found_by_hand() -> None:
    """Two hidden units of 15 and 5 lead from the picture to an output; one is constant and goes into a bias."""
    family, depth, width = "lenet", 3, 0.05
    net = member(family, depth, width)
    tensors = masked(net, 1.0, 2, tuple(parameter.name for parameter in net.outline.prunable("all")))
    tensors["hidden1.weight"][[0, 1], [7, 100]] = 2.0, 3.0
    tensors["hidden2.weight"][[0, 0, 1], [0, 1, 4]] = 1.0  # unit 4 is constant, and so is unit 1 above it
    tensors["output.weight"][[0, 1], [0, 1]] = 1.0
    tensors["hidden1.bias"][4] = tensors["hidden2.bias"][1] = 0.5
    smaller = agree(family, depth, width, tensors)
    assert {name: array.shape for name, array in smaller.tensors.items() if name.endswith("weight")} == {
        "hidden1.weight": (2, 2),
        "hidden2.weight": (1, 2),
        "output.weight": (5, 1),
    }
    places = next(array for name, array in smaller.tensors.items() if name.endswith(".places"))
    assert places.tolist() == [7, 100]
    assert (smaller.multiplications, smaller.units, smaller.unread) == (4 + 2 + 5, 3, 126)
    assert smaller.tensors["output.bias"][1] == pytest.approx(tensors["output.bias"][1] + 1.0)


def test_a_constant_channel_stays_where_padding_would_tell_its_border() -> None:
    """A channel that is constant and not zero cannot go into the bias of a 3x3 convolution."""
    family, depth, width = "vgg", 16, 1 / 16
    net = member(family, depth, width)
    tensors = masked(net, 1.0, 4)
    tensors["conv0.weight"][:2] = 0.0
    tensors["norm0.bias"][:2] = 1.0, -1.0
    tensors["norm0.running_mean"][:2] = 0.0
    smaller = agree(family, depth, width, tensors)
    weights = smaller.tensors["conv0.weight"]
    assert len(weights) == 3, "the channel at one stays, the one below zero goes"
    assert np.count_nonzero(weights[0]) == 0
    assert smaller.tensors["conv1.weight"].shape[1] == 3


def test_a_program_that_does_not_fit_together_is_refused() -> None:
    tensors = {"a.weight": np.ones((3, 7)), "a.bias": np.ones(3)}
    flat = Step("flatten", (0,))
    wrong: list[tuple[Step, ...]] = [
        (flat, Step("linear", (1,), "a")),
        (flat, Step("linear", (1,), "b")),
        (flat, Step("linear", (2,), "a")),
        (flat, Step("eval", (1,))),
        (Step("add", (0,)),),
        (flat, Step("max_pool", (1,))),
        (Step("conv", (0,), "a"),),
    ]
    for steps in wrong:
        with pytest.raises(DamageError, match="cannot be computed"):
            _ = Program(SHAPE, steps, tensors).shapes
