"""Engines against modules of torch under torch's optimizers, and against each other, member by member."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prunescope.nets.cohort import Layout
from prunescope.prune import Masks
from prunescope.train import TrainingContext
from prunescope.train.dense import DenseEngine
from prunescope.train.engine import AutogradEngine, Engine, Tensors
from tests.nets.modules import plain
from tests.train.cohorts import pictures, random_masks, starts, training_context
from tests.train.test_optimizer import LOSSES, RATES, RULES, theirs

BATCHES = [7, 7, 7, 3, 7, 7, 2]  # the last of an epoch is smaller


def batches(context: TrainingContext, members: int) -> list[tuple[Tensor, Tensor]]:
    """Draw inputs and labels, each member's own; some inputs are negative, as normalised pictures are."""
    rng = torch.Generator().manual_seed(3)
    channels, height, width = context.dataset.shape
    shape = (height, width, channels) if context.network.pictures else (channels * height * width,)
    return [
        (
            torch.randn(members, batch, *shape, generator=rng, dtype=torch.float64),
            torch.randint(0, context.dataset.classes, (members, batch), generator=rng),
        )
        for batch in BATCHES
    ]


def trained(
    engine: AutogradEngine | DenseEngine, context: TrainingContext, members: int, columns: Tensor | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Take some steps; return the logits of one more batch, and the state."""
    engine_batches = batches(context, members)

    def read(x: Tensor) -> Tensor:
        return x if columns is None else x.gather(2, columns.unsqueeze(1).expand(-1, x.shape[1], -1))

    for (x, labels), rate in zip(engine_batches, RATES, strict=True):
        engine.step(read(x), labels, rate)
    return engine.logits(read(engine_batches[0][0])), engine.state()


def reference(
    context: TrainingContext,
    shape: tuple[str, int, float],
    rule: dict[str, Any],
    tensors: Tensors,
    masks: Tensors,
    members: int,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Train each member as a module of torch by torch's optimizer, alone."""
    family, depth, width = shape
    logits, states = [], []
    for member in range(members):
        module = plain(family, context.dataset.shape, depth, width, context.dataset.classes)
        module.load_state_dict({name: values[member] for name, values in tensors.items()}, strict=False)
        parameters = dict(module.named_parameters())
        rules = theirs(rule, list(parameters.values()))

        def pictured(x: Tensor, member: int = member) -> Tensor:
            return (
                x[member].permute(0, 3, 1, 2)
                if context.network.pictures
                else x[member].view(-1, *context.dataset.shape)
            )

        for (x, labels), rate in zip(batches(context, members), RATES, strict=True):
            rules.param_groups[0]["lr"] = rate
            rules.zero_grad()
            smoothing = rule.get("label_smoothing", 0.0)
            loss = F.cross_entropy(module(pictured(x)), labels[member], label_smoothing=smoothing)
            loss.backward()  # type: ignore[no-untyped-call]
            if "clip_norm" in rule:
                for name, mask in masks.items():
                    parameters[name].grad.mul_(mask[member])  # type: ignore[union-attr]
                torch.nn.utils.clip_grad_norm_(parameters.values(), rule["clip_norm"])
            rules.step()
            with torch.no_grad():
                for name, mask in masks.items():
                    parameters[name].mul_(mask[member])
        with torch.no_grad():
            logits.append(module.eval()(pictured(batches(context, members)[0][0])))
        states.append(module.state_dict())
    return torch.stack(logits), {name: torch.stack([state[name] for state in states]) for name in tensors}


def hold(ours: tuple[Tensor, dict[str, Tensor]], others: tuple[Tensor, dict[str, Tensor]]) -> None:
    torch.testing.assert_close(ours[0], others[0], rtol=1e-8, atol=1e-9)
    assert set(ours[1]) == set(others[1])
    for name, values in ours[1].items():
        torch.testing.assert_close(values, others[1][name], rtol=1e-8, atol=1e-9, msg=f"{name} is not the same")


def apart(context: TrainingContext, members: int) -> list[Masks]:
    """Return masks from half dense to nearly empty."""
    return [random_masks(context, 1, 0.5 * 0.15**member, seed=member)[0] for member in range(members)]


@pytest.mark.parametrize("rule", [*RULES, *LOSSES], ids=str)
def test_autograd_trains_members_as_torch_trains_modules(rule: dict[str, Any]) -> None:
    slow = {"learning_rate": 0.1} | rule
    context = training_context("cifar-resnet", 8, 1 / 8, **slow)
    masks = [*random_masks(context, 2, 0.4), *random_masks(context, 1, 1.0)]
    tensors, stacked = starts(context, masks)
    expected = reference(context, ("cifar-resnet", 8, 1 / 8), rule, tensors, stacked, 3)
    for layout in (Layout(), Layout(3), Layout(3, 3), Layout(3, planar=True)):
        engine = AutogradEngine(context.network, context.recipe, tensors, stacked, layout)
        hold(trained(engine, context, 3), expected)


@pytest.mark.parametrize("prunable", ["all", "all-but-output"])
@pytest.mark.parametrize("rule", [*RULES, *LOSSES], ids=str)
def test_dense_networks_are_trained_as_torch_trains_modules(rule: dict[str, Any], prunable: str) -> None:
    context = training_context("lenet", 4, 0.08, prunable=prunable, **rule)
    for masks in (random_masks(context, 3, 1.0), apart(context, 4)):
        tensors, stacked = starts(context, masks)
        count = len(masks)
        expected = reference(context, ("lenet", 4, 0.08), rule, tensors, stacked, count)
        hold(
            trained(AutogradEngine(context.network, context.recipe, tensors, stacked, Layout(count)), context, count),
            expected,
        )
        for compact in (True, False, None):
            engine = DenseEngine(context.network, context.recipe, tensors, stacked, compact)
            hold(trained(engine, context, count, engine.columns), expected)
            left_out = (
                compact is True and bool(stacked) and not (rule.get("optimizer") == "adam" and rule.get("weight_decay"))
            )
            assert (engine.columns is not None) == left_out


def test_what_is_cut_off_everywhere_leaves_biases_to_learn_alone() -> None:
    rule: dict[str, Any] = {"momentum": 0.9, "weight_decay": 0.03}
    context = training_context("lenet", 4, 0.08, **rule)
    nothing = [Masks(item.layers, item.flat & False) for item in random_masks(context, 2, 1.0)]
    tensors, stacked = starts(context, nothing)
    expected = reference(context, ("lenet", 4, 0.08), rule, tensors, stacked, 2)
    engine = DenseEngine(context.network, context.recipe, tensors, stacked, True)
    hold(trained(engine, context, 2, engine.columns), expected)
    assert not torch.equal(engine.state()["output.bias"], tensors["output.bias"])


def test_leaving_out_is_done_where_it_pays() -> None:
    context = training_context("lenet", 3, 0.5, dataset=pictures((1, 28, 28)))
    sparse, thick = random_masks(context, 2, 0.01), random_masks(context, 2, 0.9)
    for masks, small in ((sparse, True), (thick, False), ([*sparse, *thick], False)):
        assert (DenseEngine(context.network, context.recipe, *starts(context, masks)).columns is not None) == small
    tiny = training_context("lenet", 3, 0.05)
    assert DenseEngine(tiny.network, tiny.recipe, *starts(tiny, random_masks(tiny, 2, 0.01))).columns is None


def test_a_bench_takes_the_fast_way_for_dense_networks_alone() -> None:
    def kind(*shape: Any, **changes: Any) -> type[Engine]:
        context = training_context(*shape, **changes)
        return type(context.engine(*starts(context, random_masks(context, 2, 0.5))))

    assert kind("lenet", 3, 0.05) is DenseEngine
    assert kind("lenet", 3, 0.05, precision="bfloat16") is DenseEngine
    assert kind("cifar-resnet", 8, 1 / 16) is AutogradEngine


@pytest.mark.parametrize("family", [("lenet", 3, 0.1), ("cifar-resnet", 8, 1 / 8)])
def test_products_in_bfloat16_leave_parameters_in_float32_and_learn_as_float32_does(family: Sequence[Any]) -> None:
    losses = []
    for precision in ("float32", "bfloat16"):
        context = training_context(*family, precision=precision)
        tensors, masks = starts(context, random_masks(context, 2, 0.5))
        single = {name: values.float() for name, values in tensors.items()}
        engine = context.engine(single, {name: values.float() for name, values in masks.items()})
        for _ in range(3):
            for x, labels in batches(context, 2):
                engine.step(x.float(), labels, 0.02)
        state = engine.state()
        assert {item.dtype for item in state.values()} == {torch.float32}
        assert not any(state[name][mask == 0].any() for name, mask in masks.items())
        losses.append(
            torch.cat([state[name].flatten() - single[name].flatten() for name in single if "weight" in name])
        )
    single_precision, half = losses
    assert F.cosine_similarity(single_precision, half, dim=0) > 0.9
    assert not torch.equal(single_precision, half)


def test_products_in_bfloat16_are_those_of_autocast() -> None:
    context = training_context("lenet", 4, 0.3, precision="bfloat16", momentum=0.9, label_smoothing=0.1)
    tensors, masks = starts(context, random_masks(context, 2, 0.5))
    tensors, masks = ({name: item.float() for name, item in group.items()} for group in (tensors, masks))
    engines = (
        DenseEngine(context.network, context.recipe, tensors, masks),
        AutogradEngine(context.network, context.recipe, tensors, masks, Layout(2)),
    )
    for x, labels in batches(context, 2):
        for engine in engines:
            engine.step(x.float(), labels, 0.05)
    ours, theirs = (engine.state() for engine in engines)
    for name, begun in tensors.items():
        one, other = ((state[name] - begun).flatten() for state in (ours, theirs))
        assert F.cosine_similarity(one, other, dim=0) > 0.999, name
    one, other = (engine.logits(batches(context, 2)[0][0].float()) for engine in engines)
    assert one.dtype == other.dtype == torch.bfloat16
    torch.testing.assert_close(one, other, rtol=0.05, atol=0.05)


def test_a_constant_unit_may_lead_to_constant_and_changing_units() -> None:
    context = training_context("lenet", 4, 0.08)
    (whole,) = random_masks(context, 1, 1.0)
    named = whole.by_name()
    named["hidden1.weight"][:3] = False
    named["hidden2.weight"][:2, 3:] = False
    constant = Masks(whole.layers, torch.cat([torch.from_numpy(item).flatten() for item in named.values()]).numpy())
    tensors, stacked = starts(context, [constant])
    for name in ("hidden1.bias", "hidden2.bias"):
        tensors[name] = tensors[name].abs() + 0.5  # so that the constants are not cut off by the ReLU
    expected = reference(context, ("lenet", 4, 0.08), {}, tensors, stacked, 1)
    engine = DenseEngine(context.network, context.recipe, tensors, stacked, True)
    hold(trained(engine, context, 1, engine.columns), expected)
