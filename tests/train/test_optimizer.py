"""Update rules against torch.optim, step by step; pruned weights; what decays without a gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from prunescope.train.engine import clip, decayed, optimizer
from tests.train.cohorts import recipe

RULES: list[dict[str, Any]] = [
    {},
    {"momentum": 0.9},
    {"weight_decay": 0.03},
    {"momentum": 0.9, "weight_decay": 0.03},
    {"momentum": 0.7, "nesterov": True},
    {"momentum": 0.7, "nesterov": True, "weight_decay": 0.03},
    {"optimizer": "adam"},
    {"optimizer": "adam", "weight_decay": 0.03},
    {"optimizer": "adamw"},
    {"optimizer": "adamw", "weight_decay": 0.03},
]
# What is done to the loss and its gradient, whatever rule goes by them.
LOSSES: list[dict[str, Any]] = [
    {"label_smoothing": 0.2},
    {"momentum": 0.9, "weight_decay": 0.03, "clip_norm": 0.4},
    {"optimizer": "adamw", "weight_decay": 0.03, "clip_norm": 0.05, "label_smoothing": 0.1},
]
RATES = [0.1, 0.1, 0.2, 0.05, 0.05, 0.3, 0.01]


def theirs(rule: dict[str, Any], parameters: list[Tensor]) -> torch.optim.Optimizer:
    """Return torch's own optimizer for a recipe."""
    if "optimizer" in rule:
        kind = torch.optim.AdamW if rule["optimizer"] == "adamw" else torch.optim.Adam
        return kind(parameters, lr=1.0, weight_decay=rule.get("weight_decay", 0.0))
    kept = {key: value for key, value in rule.items() if key not in ("clip_norm", "label_smoothing")}
    return torch.optim.SGD(parameters, lr=1.0, **kept)


def drawn(seed: int) -> list[Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=rng, dtype=torch.float64) for shape in ((3, 4, 2), (3, 4), (3, 1))]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_every_step_is_that_of_torch(rule: dict[str, Any]) -> None:
    ours, reference = drawn(0), [member.requires_grad_() for member in drawn(0)]
    rule_here, other = optimizer(recipe(**rule), ours, [None] * 3), theirs(rule, reference)
    for step, rate in enumerate(RATES):
        gradients = drawn(step + 1)
        for values, gradient in zip(reference, gradients, strict=True):
            values.grad = gradient.clone()
        other.param_groups[0]["lr"] = rate
        other.step()
        rule_here.step(gradients, rate)
        for mine, values in zip(ours, reference, strict=True):
            torch.testing.assert_close(mine, values.detach(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_pruned_weights_stay_zero_and_the_others_do_as_without_masks(rule: dict[str, Any]) -> None:
    masks = [(member > 0).double() for member in drawn(9)[:2]]
    free, masked = drawn(0), [*(values * mask for values, mask in zip(drawn(0), masks, strict=False)), drawn(0)[2]]
    without, within = optimizer(recipe(**rule), free, [None] * 3), optimizer(recipe(**rule), masked, [*masks, None])
    for step, rate in enumerate(RATES):
        without.step(drawn(step + 1), rate)
        within.step(drawn(step + 1), rate)
        for one, other, mask in zip(free, masked, [*masks, torch.ones(3, 1)], strict=True):
            assert not other[mask == 0].any()
            assert torch.equal(other[mask == 1], one[mask == 1])


@pytest.mark.parametrize("rule", [*RULES[:6], *RULES[8:]], ids=str)
def test_what_decays_is_what_torch_makes_of_a_parameter_without_a_gradient(rule: dict[str, Any]) -> None:
    parameter = torch.tensor([1.0, -2.5], dtype=torch.float64, requires_grad=True)
    reference = theirs(rule, [parameter])
    for rate in RATES:
        parameter.grad = torch.zeros(2, dtype=torch.float64)
        reference.param_groups[0]["lr"] = rate
        reference.step()
    shrunk = decayed(recipe(**rule), RATES)
    torch.testing.assert_close(
        parameter.detach(), torch.tensor([1.0, -2.5], dtype=torch.float64) * shrunk, rtol=1e-12, atol=0
    )
    assert (shrunk == 1) == ("weight_decay" not in rule)


@pytest.mark.parametrize("most", [1e-3, 0.7, 3.0, 1e3])
def test_each_member_is_clipped_by_its_own_norm_over_what_survives_as_torch_does(most: float) -> None:
    gradients, mask = drawn(4), (drawn(9)[0] > 0).double()
    for values in gradients:
        values[1] *= 20  # one member's gradient is larger
    expected = []
    for member in range(3):
        alone = [values[member] * (mask[member] if place == 0 else 1) for place, values in enumerate(gradients)]
        parameters = [torch.zeros_like(values).requires_grad_() for values in alone]
        for parameter, values in zip(parameters, alone, strict=True):
            parameter.grad = values.clone()
        torch.nn.utils.clip_grad_norm_(parameters, most)
        expected.append([parameter.grad for parameter in parameters])
    clip(gradients, [mask, None, None], most)
    gradients[0] *= mask
    for member, parts in enumerate(expected):
        for values, wanted in zip(gradients, parts, strict=True):
            torch.testing.assert_close(values[member], wanted, rtol=1e-12, atol=1e-14)
