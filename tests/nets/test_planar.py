"""Convolutions of our own, against torch's, against autograd's differences, and against sanitizers.

Each test runs for every kind of vectors that this machine computes with, not only for the widest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from prunescope.nets import network
from prunescope.nets.cohort import Layout
from prunescope.nets.kernels import Kernels, Shape, Vectors, kernels, vectors_here
from prunescope.nets.planar import _Unit
from tests.nets.members import ALONE, close, computed, inputs, stacked
from tests.nets.sanitizers import on_sanitized, sanitized

on_all_vectors = pytest.mark.parametrize("vectors", vectors_here(), ids=lambda vectors: vectors.name)

CASES = [
    ("cifar-resnet", 8, 1 / 4, (3, 16, 16)),
    ("cifar-resnet", 8, 3 / 16, (1, 32, 32)),
    ("cifar-resnet", 14, 1 / 16, (1, 9, 7)),
    ("cifar-resnet", 8, 5 / 16, (2, 12, 8)),
    ("vgg", 16, 1 / 32, (3, 32, 32)),
    ("vgg", 16, 1 / 32, (1, 18, 18)),
    ("imagenet-resnet", 18, 1 / 32, (3, 16, 16)),
    ("imagenet-resnet", 50, 1 / 64, (1, 68, 66)),
    ("densenet", 121, 1 / 32, (2, 16, 16)),
    ("densenet", 121, 1 / 32, (1, 66, 12)),
]


def built(vectors: Vectors) -> Kernels:
    """Return the kernels for doubles; skip where no compiler makes any."""
    compiled = kernels(torch.float64, vectors)
    if compiled is None:
        pytest.skip("no compiler that works")
    assert compiled.lanes == vectors.size // 8
    return compiled


@pytest.fixture
def computing(vectors: Vectors, monkeypatch: pytest.MonkeyPatch) -> Kernels:
    """Kernels for some vectors, which cohorts compute with."""
    compiled = built(vectors)
    monkeypatch.setattr("prunescope.nets.cohort.kernels", lambda dtype: compiled)
    return compiled


@on_all_vectors
@pytest.mark.usefixtures("computing")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("together", [1, 2, 7])
@pytest.mark.parametrize(("family", "depth", "width", "shape"), CASES)
def test_the_planar_layout_changes_no_logits_gradients_or_statistics(
    family: str, depth: int, width: float, shape: tuple[int, int, int], together: int, training: bool
) -> None:
    net = network(family, depth, width, 4, shape)
    tensors, x = stacked(net, 7), inputs(net, shape, 7)
    usual, other = (computed(net, tensors, x, training, layout) for layout in (ALONE, Layout(together, planar=True)))
    torch.testing.assert_close(other[0], usual[0], rtol=1e-9, atol=1e-10)
    close(other[1], usual[1])
    close(other[2], usual[2])


@on_all_vectors
@pytest.mark.usefixtures("computing")
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


def unit(compiled: Kernels, shape: Shape, training: bool, cut: bool) -> tuple[Any, list[Tensor]]:
    """Return a convolution with all that may follow it, and inputs for it."""
    rng = torch.Generator().manual_seed(1)

    def draw(*size: int) -> Tensor:
        return torch.randn(*size, generator=rng, dtype=torch.float64).requires_grad_()

    batch, channels, out, members = shape.batch, shape.channels, shape.out, shape.members
    high, wide = shape.height // shape.stride, shape.width // shape.stride
    inputs = [
        draw(batch, channels, shape.height, shape.width, members),
        draw(members, out, channels, shape.kernel, shape.kernel),
        draw(members, out),
        draw(members, out),
        draw(batch, out, high, wide, members),
    ]
    running = [draw(members, out).detach(), draw(members, out).detach().abs() + 0.5]

    def run(*tensors: Tensor) -> Tensor:
        copies = [item.clone() for item in running]
        result: Tensor = _Unit.apply(*tensors, copies, shape, cut, training, compiled)  # type: ignore[no-untyped-call]
        return result

    return run, inputs


def shape_of(lanes: int, members: int, rest: tuple[int, int, int, int, int, int], vectors: int = 1) -> Shape:
    """Return a convolution whose rows fill some vectors after it: of batch, channels, out, height, kernel, stride."""
    batch, channels, out, height, kernel, stride = rest
    members = min(members, lanes)
    return Shape(batch, channels, out, height, vectors * lanes // members * stride, kernel, stride, members)


@on_all_vectors
@pytest.mark.parametrize("cut", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("members", "rest"),
    [(2, (2, 2, 3, 4, 3, 1)), (1, (2, 1, 5, 4, 3, 2)), (1, (2, 3, 2, 4, 1, 2)), (8, (1, 5, 4, 6, 3, 1))],
    ids=str,
)
def test_the_way_back_is_the_way_there_differentiated(
    vectors: Vectors, members: int, rest: tuple[int, int, int, int, int, int], training: bool, cut: bool
) -> None:
    compiled = built(vectors)
    run, inputs = unit(compiled, shape_of(compiled.lanes, members, rest), training, cut)
    assert torch.autograd.gradcheck(run, inputs)


@on_all_vectors
def test_derivatives_that_nobody_asks_for_change_no_others(vectors: Vectors) -> None:
    compiled = built(vectors)
    run, inputs = unit(compiled, shape_of(compiled.lanes, 2, (2, 2, 3, 4, 3, 1), 2), True, True)
    x, weight, scale, shift, past = inputs
    whole = torch.autograd.grad(run(*inputs).square().sum(), [weight, scale, shift])
    some = torch.autograd.grad(
        run(x.detach(), weight, scale, shift, past.detach()).square().sum(), [weight, scale, shift]
    )
    for one, other in zip(whole, some, strict=True):
        torch.testing.assert_close(one, other)


@on_all_vectors
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("batch", 0),
        ("channels", -1),
        ("height", 2**62),
        ("kernel", 5),
        ("stride", 3),
        ("stride", 0),
        ("members", 3),
        ("width", 1),
    ],
)
def test_shapes_that_kernels_are_not_made_for_are_refused_and_never_computed(
    vectors: Vectors, field: str, value: int
) -> None:
    compiled = built(vectors)
    shape = shape_of(compiled.lanes, 1, (2, 2, 3, 4, 3, 1))
    run, inputs = unit(compiled, shape, True, True)
    run(*inputs)
    assert compiled.takes(shape)
    setattr(shape, field, value)
    assert not compiled.takes(shape)
    for name, pointers in (("forward", 4), ("backward", 8)):
        with pytest.raises(ValueError, match="must"):
            compiled._convolve(name, shape, *[None] * pointers)


@on_all_vectors
def test_planes_that_do_not_fill_vectors_are_refused(vectors: Vectors) -> None:
    compiled = built(vectors)
    plane, line, sums = (
        torch.zeros(count, dtype=torch.float64) for count in (9, 3 * compiled.lanes, 2 * compiled.lanes)
    )
    with pytest.raises(ValueError, match="must fill vectors"):
        compiled.normalise(1, 1, 9, plane, None, line, True, plane.clone())
    with pytest.raises(ValueError, match="must fill vectors"):
        compiled.reduce(1, 1, 9, plane, None, plane, line, None, sums)


@on_all_vectors
@pytest.mark.parametrize("wrong", ["shorter", "float32", "apart"])
@pytest.mark.parametrize("place", range(4))
def test_tensors_that_do_not_fit_a_call_are_refused(vectors: Vectors, place: int, wrong: str) -> None:
    compiled = built(vectors)
    shape = shape_of(compiled.lanes, 2, (2, 2, 3, 4, 3, 1))
    counts = [2 * 2 * shape.pixels, shape.members * shape.weights, 2 * 3 * shape.pixels_after, 3 * 3 * compiled.lanes]
    tensors = [torch.zeros(count, dtype=torch.float64) for count in counts]
    compiled.forward(shape, *tensors)
    tensor = tensors[place]
    changed = {"shorter": tensor[1:], "float32": tensor.float(), "apart": tensor.repeat(2)[::2]}
    tensors[place] = changed[wrong]
    with pytest.raises(ValueError, match="must"):
        compiled.forward(shape, *tensors)


@on_sanitized
def test_sanitizers_find_nothing_in_random_shapes(vectors: Vectors, real: str, tmp_path: Path) -> None:
    assert int(sanitized("planar_check.c", vectors, real, tmp_path, 400).split()[0]) > 200


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
    usual, other = (computed(net, tensors, x, True, layout) for layout in (ALONE, Layout(planar=True)))
    assert torch.equal(usual[0], other[0])
