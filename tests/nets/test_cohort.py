"""Designs computed for many members at once, against plain modules of torch, one network each."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prunescope.nets import network
from prunescope.nets.cohort import Layout
from tests.nets.members import ALONE, close, computed, inputs, of_member, stacked
from tests.nets.modules import plain

CASES = [
    ("lenet", 3, 0.05, (2, 8, 8)),
    ("lenet", 5, 0.03, (1, 8, 8)),
    ("cifar-resnet", 8, 0.25, (3, 8, 8)),
    ("cifar-resnet", 14, 1 / 16, (1, 9, 7)),
    ("vgg", 16, 1 / 32, (3, 18, 18)),
    ("vgg", 16, 1 / 64, (1, 8, 8)),
    ("imagenet-resnet", 18, 1 / 32, (3, 8, 8)),
    ("imagenet-resnet", 50, 1 / 64, (1, 9, 64)),
    ("imagenet-resnet", 34, 1 / 64, (2, 65, 66)),
    ("densenet", 121, 1 / 32, (3, 16, 16)),
    ("densenet", 121, 1 / 16, (1, 67, 20)),
]
# Of every family one, and of some the smallest: what layouts are held to.
SOME = [CASES[0], CASES[2], CASES[3], CASES[5], CASES[6], CASES[10]]
LAYOUTS = [Layout(1), Layout(2), Layout(5), Layout(6), Layout(6, 2), Layout(6, 3), Layout(6, 4), Layout(4, 4)]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("family", "depth", "width", "shape"), CASES)
def test_each_member_computes_what_a_plain_module_does(
    family: str, depth: int, width: float, shape: tuple[int, int, int], training: bool
) -> None:
    net = network(family, depth, width, 7, shape)
    tensors, x = stacked(net, 3), inputs(net, shape, 3)
    logits, gradients, buffers = computed(net, tensors, x, training, Layout(3))
    for member in range(3):
        module = plain(family, shape, depth, width, 7).train(training)
        module.load_state_dict(of_member(tensors, member), strict=False)
        member_x = x[member].permute(0, 3, 1, 2) if net.pictures else x[member].view(-1, *shape)
        theirs = module(member_x)
        torch.testing.assert_close(logits[member], theirs, rtol=1e-9, atol=1e-10)
        weights = torch.linspace(-1, 2, theirs.numel(), dtype=theirs.dtype).view_as(theirs)
        (theirs * weights).sum().backward()
        close(of_member(gradients, member), {name: values.grad for name, values in module.named_parameters()})  # type: ignore[misc]
        after = {name: values for name, values in module.named_buffers() if "num_batches" not in name}
        close(of_member(buffers, member), after)
        moved = any(not torch.equal(after[name], tensors[name][member]) for name in after)
        assert moved == (training and bool(after))


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout.together}-{layout.pack}")
@pytest.mark.parametrize(("family", "depth", "width", "shape"), SOME)
def test_no_layout_changes_logits_gradients_or_statistics(
    family: str, depth: int, width: float, shape: tuple[int, int, int], layout: Layout
) -> None:
    net = network(family, depth, width, 4, shape)
    tensors, x = stacked(net, 6), inputs(net, shape, 6)
    for training in (True, False):
        usual, other = (computed(net, tensors, x, training, item) for item in (ALONE, layout))
        torch.testing.assert_close(other[0], usual[0], rtol=1e-9, atol=1e-10)
        close(other[1], usual[1])
        close(other[2], usual[2])


@pytest.mark.parametrize("members", [5, 7])
def test_members_that_no_group_divides_evenly_are_computed_all_the_same(members: int) -> None:
    net = network("cifar-resnet", 8, 1 / 8, 4, (3, 8, 8))
    tensors, x = stacked(net, members), inputs(net, (3, 8, 8), members)
    usual, other = (computed(net, tensors, x, True, layout) for layout in (ALONE, Layout(3, 2)))
    torch.testing.assert_close(other[0], usual[0], rtol=1e-9, atol=1e-10)
    close(other[1], usual[1])
    close(other[2], usual[2])


def test_a_member_never_feels_what_another_computes() -> None:
    net = network("cifar-resnet", 8, 1 / 8, 4, (3, 8, 8))
    tensors, x = stacked(net, 4), inputs(net, (3, 8, 8), 4)
    before = computed(net, tensors, x, True, Layout(4, 2))
    x[1] = torch.from_numpy(np.full(x[1].shape, 1e3))
    after = computed(net, tensors, x, True, Layout(4, 2))
    for member in (0, 2, 3):
        torch.testing.assert_close(after[0][member], before[0][member], rtol=1e-12, atol=1e-12)
        close(of_member(after[2], member), of_member(before[2], member))
    assert not torch.allclose(after[0][1], before[0][1])
