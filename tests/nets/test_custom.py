"""A user's own modules in a cohort: held against themselves alone, and what is said where they cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prunescope.errors import InputError
from prunescope.nets.cohort import Layout
from prunescope.nets.custom import Custom
from tests.nets.members import ALONE, close, computed, inputs, of_member, stacked
from tests.nets.modules import Own, attention, own, tied, with_dropout

SHAPE = (3, 8, 8)


def custom(make: Callable[..., object], shape: tuple[int, int, int] = SHAPE, classes: int = 4) -> Custom:
    return Custom(make, "mine:make", shape, 2, 1.0, classes)


class Grown(nn.Module):
    """Asks its numbers how to go on, which vmap cannot follow."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(192, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = cast(Tensor, self.linear(x.flatten(1)))
        return y * 2 if float(y.detach().sum()) > 0 else y


class Shifted(nn.Module):
    """Has a buffer that its state leaves out, and one of whole numbers."""

    fixed: Tensor
    counted: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("fixed", torch.full((192,), 0.5), persistent=False)
        self.register_buffer("counted", torch.tensor(3))
        self.linear = nn.Linear(192, 4)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.linear(x.flatten(1) * self.fixed * self.counted))


def grown(depth: int, width: float, classes: int) -> nn.Module:
    return Grown()


def shifted(depth: int, width: float, classes: int) -> nn.Module:
    return Shifted()


def test_a_factory_is_told_depth_width_classes_and_where_it_asks_the_shape() -> None:
    calls: list[dict[str, Any]] = []

    def plain(depth: int, width: float, classes: int) -> nn.Module:
        calls.append({"depth": depth, "width": width, "classes": classes})
        return nn.Sequential(nn.Flatten(), nn.Linear(192, classes))

    def shaped(depth: int, width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
        calls.append({"shape": shape})
        return plain(depth, width, classes)

    custom(plain)
    custom(shaped)
    usual = {"depth": 2, "width": 1.0, "classes": 4}
    assert calls == [usual, {"shape": SHAPE}, usual]


def test_parameters_weights_and_work_are_counted_on_the_way_of_one_picture() -> None:
    outline = custom(own).outline
    convolution, hidden, output = 4 * 3 * 9, 192 * 6, (4 * 16 + 6) * 4
    assert sum(parameter.size for parameter in outline.prunable("all")) == convolution + hidden + output
    assert sum(parameter.size for parameter in outline.prunable("all-but-output")) == convolution + hidden
    assert outline.total == convolution + 4 + 2 * 4 + hidden + 6 + output + 4
    assert outline.multiplications == convolution * 16 + hidden + output
    assert not outline.dense


@pytest.mark.parametrize("layout", [ALONE, Layout(4), Layout(3)], ids=["alone", "together", "in parts"])
@pytest.mark.parametrize("make", [own, grown, shifted, attention])
@pytest.mark.parametrize("training", [True, False])
def test_each_member_computes_what_the_module_does_alone(
    make: Callable[..., nn.Module], layout: Layout, training: bool
) -> None:
    net = custom(make)
    tensors, x = stacked(net, 4), inputs(net, SHAPE, 4)
    logits, gradients, buffers = computed(net, tensors, x, training, layout)
    for member in range(4):
        module = make(depth=2, width=1.0, classes=4, **({"shape": SHAPE} if make in (own, attention) else {})).double()
        module.train(training).load_state_dict(of_member(tensors, member), strict=False)
        theirs = module(x[member].permute(0, 3, 1, 2).contiguous())
        torch.testing.assert_close(logits[member], theirs, rtol=1e-9, atol=1e-11)
        weights = torch.linspace(-1, 2, theirs.numel(), dtype=theirs.dtype).view_as(theirs)
        (theirs * weights).sum().backward()
        close(of_member(gradients, member), {name: values.grad for name, values in module.named_parameters()})  # type: ignore[misc]
        after = of_member(buffers, member)
        after.pop("prunescope.seed", None)
        close(after, dict(module.named_buffers()))


def test_what_vmap_follows_is_computed_together_and_what_it_cannot_is_not_and_is_told_why() -> None:
    for make in (own, attention, tied):
        assert custom(make).together
        assert custom(make).outline.slow == ""
    assert not custom(grown).together
    assert "vmap cannot follow the module: RuntimeError" in custom(grown).outline.slow
    assert not custom(with_dropout).together
    assert "random numbers (dropout)" in custom(with_dropout).outline.slow


class Interpolated(nn.Module):
    """Uses an operation that vmap computes member by member, with a warning."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(48, 4)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.linear(F.interpolate(x, size=4, mode="area").flatten(1)))


def test_what_vmap_cannot_batch_is_named_once_and_warns_never() -> None:
    net = custom(sequential(Interpolated(), Unbatched()))
    assert net.together
    assert net.outline.slow == "members are computed one at a time in aten::histc, which vmap cannot batch"
    tensors = stacked(net, 2)
    net.logits(tensors, inputs(net, SHAPE, 2), True, Layout(2))  # a warning would be an error here


class Unbatched(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.histc(x.detach(), 4) * 0


def test_every_matrix_of_attention_is_pruned_or_named_as_left_alone() -> None:
    outline = custom(attention).outline
    patch, projections, hidden, head = 3 * 4 * 8, 4 * 8 * 8, 2 * 8 * 16, 8 * 4
    assert sum(layer.size for layer in outline.prunable("all")) == patch + projections + hidden + head
    assert "block.self_attn.in_proj_weight" in [layer.name for layer in outline.prunable("all-but-output")]
    alone = dict.fromkeys(("token", "place"), "no layer's weights")
    assert outline.left_alone("all") == alone
    assert outline.left_alone("all-but-output") == alone | {"head.weight": "the output"}
    scores = 2 * 17 * 17 * 8  # queries with keys, and weights with values
    assert outline.multiplications == 16 * patch + 17 * (projections + hidden) + scores + head


def test_tied_weights_are_one_and_frozen_ones_are_left_alone() -> None:
    outline = custom(tied).outline
    assert [layer.name for layer in outline.prunable("all")] == ["one.weight", "output.weight"]
    assert [layer.name for layer in outline.prunable("all-but-output")] == ["one.weight"]
    assert outline.left_alone("all") == {"frozen.weight": "not trained"}
    assert outline.total == (192 + 1) * 6 + 36 + 2 * 6 + 7 * 4
    assert [item.name for item in outline.parameters if not item.trained] == ["frozen.weight", "frozen.bias"]
    with pytest.raises(InputError, match="must have parameters to train"):
        custom(lambda depth, width, classes: tied(2, 1.0, 4, SHAPE).requires_grad_(False))


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (("block",), {"block.self_attn.in_proj_weight", "block.self_attn.out_proj.weight", "block.linear1.weight",
                      "block.linear2.weight"}),
        (("block.*", "!*attn*", "head"), {"block.linear1.weight", "block.linear2.weight", "head.weight"}),
        (("!block.*",), {"patch.weight", "head.weight"}),
        (("place", "head.weight"), {"place", "head.weight"}),
        (("*", "!*", "norm", "p?tch"), {"patch.weight"}),
    ],
)  # fmt: skip
def test_patterns_choose_among_matrices_and_the_last_that_fits_decides(
    patterns: tuple[str, ...], names: set[str]
) -> None:
    outline = custom(attention).outline
    assert {layer.name for layer in outline.prunable(patterns)} == names
    assert not {layer.name for layer in outline.prunable(patterns)} & set(outline.left_alone(patterns))
    assert set(outline.strangers(patterns)) == ({"norm"} if "norm" in patterns else set())
    assert outline.strangers(("!blocks", "head")) == ("!blocks",)


def test_a_module_with_dropout_drops_the_same_in_any_company_and_in_any_state_of_torch() -> None:
    net = custom(with_dropout)
    tensors, x = stacked(net, 4), inputs(net, SHAPE, 4)
    steps = []
    for members, seed in ((slice(0, 4), 1), (slice(2, 3), 2)):
        torch.manual_seed(seed)
        copies = {name: values[members].clone() for name, values in tensors.items()}
        before = torch.random.get_rng_state()
        steps.append([net.logits(copies, x[members], True, Layout(4)) for _ in range(2)])
        assert torch.equal(torch.random.get_rng_state(), before)
    for together, alone in zip(*steps, strict=True):
        torch.testing.assert_close(together[2:3], alone, rtol=1e-12, atol=1e-12)
    first, second = steps[0]
    assert not torch.allclose(first, second)  # another step drops others


def test_members_of_a_module_with_dropout_drop_apart() -> None:
    net = custom(with_dropout)
    tensors, x = stacked(net, 2), inputs(net, SHAPE, 2)
    for parameter in net.outline.parameters:
        tensors[parameter.name][1] = tensors[parameter.name][0]
    x[1] = x[0]
    logits = net.logits(tensors, x, True, Layout(2))
    assert not torch.allclose(logits[0], logits[1])


def test_a_start_comes_from_chance_alone_and_leaves_torch_as_it_was() -> None:
    net = custom(own)
    torch.manual_seed(1)
    first = net.start(np.random.default_rng(3))
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    again = net.start(np.random.default_rng(3))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_a_custom_network_is_connected_while_every_layer_keeps_a_weight() -> None:
    net = custom(own)
    masks = {parameter.name: np.zeros(parameter.shape, bool) for parameter in net.outline.prunable("all")}
    for mask in masks.values():
        mask.flat[0] = True
    assert net.connected(masks)
    masks["hidden.weight"][:] = False
    assert not net.connected(masks)


def sequential(*parts: nn.Module) -> Callable[..., nn.Module]:
    def make(depth: int, width: float, classes: int) -> nn.Module:
        return nn.Sequential(*parts)

    return make


class Twice(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (sequential(nn.Flatten(), nn.Linear(192, 5)), "logits of shape (1, 4) for one picture; found (1, 5)"),
        (sequential(nn.Linear(8, 4)), "logits of shape (1, 4) for one picture; found (1, 3, 8, 4)"),
        (sequential(nn.Flatten(), nn.Linear(192, 4), Twice()), "logits of shape (1, 4) for one picture; found tuple"),
        (sequential(nn.Flatten(), nn.Linear(64, 4)), "must take pictures of shape (3, 8, 8)"),
        (sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.LayerNorm(12), nn.MaxPool1d(3)),
         "must have linear layers or convolutions to prune; found none"),
        (lambda depth, width, classes: F.relu, "must return a torch.nn.Module; found function"),
    ],
)  # fmt: skip
def test_a_factory_whose_module_cannot_be_trained_is_told_why(make: Callable[..., object], words: str) -> None:
    with pytest.raises(InputError) as raised:
        custom(make)
    assert words in str(raised.value)
    assert "mine:make" in str(raised.value)


def failing(depth: int, width: float, classes: int) -> nn.Module:
    raise ArithmeticError("my own mistake")


class Failing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise KeyError("my own mistake")


def test_what_a_users_own_code_raises_is_told_with_its_place() -> None:
    with pytest.raises(InputError, match=r"ArithmeticError: my own mistake \(test_custom\.py, line \d+\)") as raised:
        custom(failing)
    assert "must make a network of depth" in str(raised.value)
    with pytest.raises(InputError, match=r"KeyError: 'my own mistake' \(test_custom\.py, line \d+\)"):
        custom(sequential(Failing()))
    with pytest.raises(InputError, match="called with depth, width, classes by name"):
        custom(lambda depth: nn.Linear(3, depth))


def test_the_module_in_the_tests_is_what_it_says() -> None:
    assert isinstance(own(2, 1.0, 4, SHAPE), Own)
