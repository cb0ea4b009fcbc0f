"""Products in float16: losses are scaled, by torch's rule and for each member apart."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from prunescope.nets.cohort import Layout
from prunescope.train.engine import AutogradEngine, optimizer
from prunescope.train.loss_scaling import LossScaling
from tests.train.cohorts import random_masks, recipe, starts, training_context

RULES: list[dict[str, Any]] = [
    {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    {"optimizer": "adam", "weight_decay": 0.01},
    {"optimizer": "adamw", "weight_decay": 0.1},
]
# In which steps the gradient of which of two members is not finite, the first step among them.
LOST = {0: (0,), 2: (0, 1), 3: (1,), 6: (0,)}


def gradients(step: int) -> torch.Tensor:
    drawn = torch.randn(2, 3, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
    for member in LOST.get(step, ()):
        drawn[member, 1] = (torch.inf, -torch.inf, torch.nan)[step % 3]
    return drawn


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_member_leaves_out_steps_as_torch_does_for_a_network_alone(
    rule: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prunescope.train.loss_scaling.INTERVAL", 2)
    start = torch.arange(6.0, dtype=torch.float64).view(2, 3)
    together = start.clone()
    ours, scaling = optimizer(recipe(**rule), [together], [None]), LossScaling([together])
    kinds: Any = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}.get(rule.get("optimizer", ""), torch.optim.SGD)
    options = {key: value for key, value in rule.items() if key != "optimizer"}
    alone = [values.clone().requires_grad_() for values in start]
    theirs = [kinds([values], lr=0.1, **options) for values in alone]
    scalers = [torch.amp.GradScaler("cpu", growth_interval=2) for _ in alone]
    for step in range(9):
        for values, other, scaler, gradient in zip(alone, theirs, scalers, gradients(step), strict=True):
            scaler.scale(torch.zeros(1))  # from here on it has a scale
            values.grad = gradient * scaler.get_scale()
            scaler.step(other)
            scaler.update()
        scales = scaling.state()["scale"].view(2, 1)
        scaled = [gradients(step) * scales]
        scaling.step(scaled, ours, lambda scaled=scaled: ours.step(scaled, 0.1))  # type: ignore[misc]
        torch.testing.assert_close(together, torch.stack([values.detach() for values in alone]), rtol=1e-12, atol=1e-12)
        assert scaling.state()["scale"].tolist() == [scaler.get_scale() for scaler in scalers]


def batches(members: int, steps: int = 6) -> list[tuple[torch.Tensor, torch.Tensor]]:
    rng = torch.Generator().manual_seed(3)
    drawn = []
    for _ in range(steps):
        x = torch.randn(members, 8, 8, 8, 3, generator=rng)
        drawn.append((x, torch.randint(0, 4, (members, 8), generator=rng)))
    return drawn


def engine_of(context: Any, tensors: Any, masks: Any, members: slice) -> AutogradEngine:
    part = [{name: values[members] for name, values in group.items()} for group in (tensors, masks)]
    engine = context.engine(*part)
    assert isinstance(engine, AutogradEngine)
    return engine


def test_a_member_whose_gradients_overflow_changes_nothing_for_the_others_and_goes_on_after_a_break(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("prunescope.train.loss_scaling.FIRST", 2.0**8)
    context = training_context("cifar-resnet", 8, 1 / 8, precision="float16", momentum=0.9, learning_rate=0.02)
    context = context.with_layout(Layout(2, 2))
    tensors, masks = starts(context, random_masks(context, 2, 0.6))
    tensors, masks = ({name: values.float() for name, values in group.items()} for group in (tensors, masks))
    tensors["output.weight"][1] *= 1e3  # the gradients of the second member are too large for the first scales

    def trained(engine: AutogradEngine, members: slice, first: int = 0) -> AutogradEngine:
        for x, labels in batches(2)[first:]:
            engine.step(x[members], labels[members], 0.02)
        return engine

    together = trained(engine_of(context, tensors, masks, slice(2)), slice(2))
    scaling = together.progress()
    assert scaling["scaling/missed"][0] == 0 < scaling["scaling/missed"][1]
    assert scaling["scaling/scale"][0] == 2.0**8 > scaling["scaling/scale"][1]
    for place in range(2):
        member = slice(place, place + 1)
        alone = trained(engine_of(context, tensors, masks, member), member)
        for name, values in alone.progress().items():
            torch.testing.assert_close(values[0], scaling[name][place], rtol=2e-3, atol=2e-4, msg=f"{name} of {place}")
    begun = engine_of(context, tensors, masks, slice(2))
    for x, labels in batches(2)[:3]:
        begun.step(x, labels, 0.02)
    resumed = engine_of(context, tensors, masks, slice(2))
    resumed.restore({name: values.clone() for name, values in begun.progress().items()}, 3)
    for name, values in trained(resumed, slice(2), 3).progress().items():
        assert torch.equal(values, scaling[name]), name


def test_fully_connected_networks_in_float16_are_near_those_in_float32() -> None:
    states = []
    for precision in ("float16", "float32"):
        context = training_context("lenet", 3, 0.05, precision=precision)
        tensors, masks = starts(context, random_masks(context, 2, 0.5))
        tensors, masks = ({name: values.float() for name, values in group.items()} for group in (tensors, masks))
        engine = context.engine(tensors, masks)
        for x, labels in batches(2):
            engine.step(x.flatten(2), labels, 0.1)
        states.append(engine.state())
    for name, values in states[0].items():
        assert not torch.equal(values, states[1][name])
        torch.testing.assert_close(values, states[1][name], rtol=0.02, atol=0.01)
