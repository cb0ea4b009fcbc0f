"""Convolutions of our own, against torch's, and against autograd's differences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from prunescope.nets import kernels as built
from prunescope.nets import network
from prunescope.nets.cohort import Layout
from prunescope.nets.kernels import Kernels, Shape, kernels
from prunescope.nets.planar import Planar, _Unit, innermost
from tests.nets.members import ALONE, close, computed, inputs, stacked

compiled = pytest.mark.skipif(kernels(torch.float64) is None, reason="no compiler, or no vectors that are known")

CASES = [
    ("cifar-resnet", 8, 1 / 4, (3, 16, 16)),
    ("cifar-resnet", 8, 3 / 16, (1, 32, 32)),
    ("cifar-resnet", 14, 1 / 16, (1, 9, 7)),
    ("cifar-resnet", 8, 5 / 16, (2, 12, 8)),
    ("vgg", 16, 1 / 32, (3, 32, 32)),
    ("vgg", 16, 1 / 32, (1, 18, 18)),
]


@compiled
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("together", [1, 2, 7])
@pytest.mark.parametrize(("family", "depth", "width", "shape"), CASES)
def test_the_planar_layout_changes_no_logits_gradients_or_statistics(
    family: str, depth: int, width: float, shape: tuple[int, int, int], together: int, training: bool
) -> None:
    net = network(family, depth, width, 4, shape)
    tensors, x = stacked(net, 7), inputs(net, shape, 7)
    usual, other = (computed(net, tensors, x, training, each) for each in (ALONE, Layout(together, planar=True)))
    torch.testing.assert_close(other[0], usual[0], rtol=1e-9, atol=1e-10)
    close(other[1], usual[1])
    close(other[2], usual[2])


@compiled
def test_infinities_of_one_member_stay_its_own() -> None:
    net = network("cifar-resnet", 8, 1 / 8, 4, (3, 8, 8))
    tensors, x = stacked(net, 4), inputs(net, (3, 8, 8), 4)
    before = computed(net, tensors, x, True, Layout(4, planar=True))
    x[1] = torch.inf
    after = computed(net, tensors, x, True, Layout(4, planar=True))
    assert not after[0][1].isfinite().any()
    for member in (0, 2, 3):
        assert torch.equal(after[0][member], before[0][member])
        for one, other in ((after[1], before[1]), (after[2], before[2])):
            assert all(torch.equal(one[name][member], other[name][member]) for name in one)


def kernels_of(monkeypatch: pytest.MonkeyPatch, wide: int) -> Kernels:
    """Build the kernels for vectors of some bytes, whatever the processor's own are."""
    capability = torch.backends.cpu.get_cpu_capability()
    monkeypatch.setitem(built._VECTORS, capability, (wide, ("-Wno-psabi", *built._VECTORS[capability][1])))
    made = kernels.__wrapped__(torch.float64)
    assert made is not None
    assert made.lanes == wide // 8
    return made


@compiled
@pytest.mark.parametrize("wide", [16, 64])
def test_vectors_of_other_processors_give_the_same(monkeypatch: pytest.MonkeyPatch, wide: int) -> None:
    net = network("cifar-resnet", 8, 3 / 16, 4, (3, 32, 32))
    tensors, x = stacked(net, 2), inputs(net, (3, 32, 32), 2, batch=2)
    expected = computed(net, tensors, x, True, ALONE)[0]
    planar = Planar(tensors, 2, True, kernels_of(monkeypatch, wide))
    logits = net.design(planar, innermost(x), 8, 3 / 16, 4)  # type: ignore[attr-defined]
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-10)


def unit(shape: Shape, training: bool, cut: bool) -> tuple[Any, list[Tensor]]:
    """Return a convolution with all that may follow it, and inputs for it."""
    made = kernels(torch.float64)
    chance = torch.Generator().manual_seed(1)

    def draw(*size: int) -> Tensor:
        return torch.randn(*size, generator=chance, dtype=torch.float64).requires_grad_()

    batch, channels, out, members = shape.batch, shape.channels, shape.out, shape.members
    high, wide = shape.height // shape.stride, shape.width // shape.stride
    given = [
        draw(batch, channels, shape.height, shape.width, members),
        draw(members, out, channels, shape.kernel, shape.kernel),
        draw(members, out),
        draw(members, out),
        draw(batch, out, high, wide, members),
    ]
    running = [draw(members, out).detach(), draw(members, out).detach().abs() + 0.5]

    def run(*tensors: Tensor) -> Tensor:
        own = [each.clone() for each in running]
        found: Tensor = _Unit.apply(*tensors, own, shape, cut, training, made)  # type: ignore[no-untyped-call]
        return found

    return run, given


@compiled
@pytest.mark.parametrize("cut", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "size",
    [(2, 2, 3, 4, 4, 3, 1, 2), (2, 1, 5, 4, 8, 3, 2, 1), (2, 3, 2, 4, 8, 1, 2, 1), (1, 5, 4, 6, 4, 3, 1, 1)],
    ids=str,
)
def test_the_way_back_is_the_way_there_differentiated(size: tuple[int, ...], training: bool, cut: bool) -> None:
    run, given = unit(Shape(*size), training, cut)
    assert torch.autograd.gradcheck(run, given)


@compiled
def test_derivatives_that_nobody_asks_for_change_no_others() -> None:
    run, given = unit(Shape(2, 2, 3, 4, 4, 3, 1, 2), True, True)
    x, weight, scale, shift, past = given
    whole = torch.autograd.grad(run(*given).square().sum(), [weight, scale, shift])
    some = torch.autograd.grad(
        run(x.detach(), weight, scale, shift, past.detach()).square().sum(), [weight, scale, shift]
    )
    for one, other in zip(whole, some, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("compiler", [None, "#!/bin/sh\nexit 1\n", "#!/bin/sh\nexit 0\n", "not a program"])
def test_without_a_compiler_that_works_torch_computes(
    compiler: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compiler is not None:
        (tmp_path / "cc").write_text(compiler)
        (tmp_path / "cc").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert kernels.__wrapped__(torch.float64) is None
    monkeypatch.setattr("prunescope.nets.cohort.kernels", kernels.__wrapped__)
    net = network("cifar-resnet", 8, 1 / 8, 4, (3, 8, 8))
    tensors, x = stacked(net, 2), inputs(net, (3, 8, 8), 2)
    usual, other = (computed(net, tensors, x, True, each) for each in (ALONE, Layout(planar=True)))
    assert torch.equal(usual[0], other[0])
