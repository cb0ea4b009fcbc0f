"""The learning rate at each step."""

from __future__ import annotations

import pytest
import torch

from prunescope.train.optimizer import rate
from tests.train.cohorts import recipe

STEPS = 5


def rates(**changes: object) -> list[float]:
    context = recipe(epochs=8, learning_rate=0.4, **changes)
    return [rate(context, epoch, step, STEPS) for epoch in range(8) for step in range(STEPS)]


def test_a_constant_rate_is_constant() -> None:
    assert set(rates()) == {0.4}


def test_milestones_multiply_the_rate_from_their_epoch_on_as_torch_does() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.4)
    reference = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 3, 7], gamma=0.3)
    expected = []
    for _ in range(8):
        expected += [optimizer.param_groups[0]["lr"]] * STEPS
        optimizer.step()
        reference.step()
    assert rates(schedule="steps", milestones=(2, 3, 7), factor=0.3) == pytest.approx(expected, rel=1e-12)


def test_warm_up_grows_by_the_same_amount_with_every_step_to_the_full_rate() -> None:
    learning_rates = rates(warmup=3, schedule="steps", milestones=(5,))
    assert learning_rates[:15] == pytest.approx([0.4 * (step + 1) / 15 for step in range(15)], rel=1e-12)
    assert learning_rates[15:25] == [0.4] * 10
    assert learning_rates[25:] == pytest.approx([0.04] * 15, rel=1e-12)
