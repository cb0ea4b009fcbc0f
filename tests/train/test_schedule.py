"""The learning rate at each step."""

from __future__ import annotations

import pytest
import torch

from prunescope.train.schedule import held_rate, rate
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


def of_torch(kind: type[torch.optim.lr_scheduler.LRScheduler], steps: int, **settings: object) -> list[float]:
    """Return the rates of one of torch's schedulers that is stepped with every batch."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.4)
    scheduler = kind(optimizer, **settings)  # type: ignore[arg-type]
    expected = []
    for _ in range(steps):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(expected) < steps:
            scheduler.step()
    return expected


@pytest.mark.parametrize("end", [0.0, 0.05])
@pytest.mark.parametrize("warmup", [0, 3])
def test_cosine_and_linear_fall_with_every_step_as_in_torch_after_the_warm_up(warmup: int, end: float) -> None:
    left = (8 - warmup) * STEPS
    cosine = of_torch(torch.optim.lr_scheduler.CosineAnnealingLR, left, T_max=left, eta_min=0.4 * end)
    linear = of_torch(torch.optim.lr_scheduler.LinearLR, left, start_factor=1.0, end_factor=end, total_iters=left)
    for schedule, expected in (("cosine", cosine), ("linear", linear)):
        learning_rates = rates(schedule=schedule, warmup=warmup, end_factor=end)
        assert learning_rates[-left:] == pytest.approx(expected, rel=1e-9)
        risen = [0.4 * (step + 1) / (warmup * STEPS) for step in range(warmup * STEPS)]
        assert learning_rates[:-left] == pytest.approx(risen, rel=1e-12)


@pytest.mark.parametrize(("warmup", "share"), [(0, 0.3), (2, 0.25), (8, 1.0)])
def test_one_cycle_rises_and_falls_as_in_torch(warmup: int, share: float) -> None:
    kind = torch.optim.lr_scheduler.OneCycleLR
    settings = {"max_lr": 0.4, "total_steps": 8 * STEPS, "pct_start": share, "cycle_momentum": False}
    assert rates(schedule="one-cycle", warmup=warmup) == pytest.approx(of_torch(kind, 8 * STEPS, **settings), rel=1e-9)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear", "one-cycle"])
@pytest.mark.parametrize("warmup", [0, 1])
def test_a_training_of_one_step_has_a_rate(schedule: str, warmup: int) -> None:
    single = recipe(epochs=1, learning_rate=0.4, schedule=schedule, warmup=warmup)
    assert 0 < rate(single, 0, 0, 1) <= 0.4


def test_fine_tuning_holds_the_rate_of_an_epoch_or_what_it_begins_with_where_it_falls() -> None:
    falling = recipe(epochs=8, learning_rate=0.4, schedule="cosine")
    assert {held_rate(falling, 7, step, STEPS) for step in range(STEPS)} == {rate(falling, 7, 0, STEPS)}
    stepped = recipe(epochs=8, learning_rate=0.4, schedule="steps", milestones=(2,))
    assert held_rate(stepped, 7, 3, STEPS) == pytest.approx(0.04)


def test_warm_up_grows_by_the_same_amount_with_every_step_to_the_full_rate() -> None:
    learning_rates = rates(warmup=3, schedule="steps", milestones=(5,))
    assert learning_rates[:15] == pytest.approx([0.4 * (step + 1) / 15 for step in range(15)], rel=1e-12)
    assert learning_rates[15:25] == [0.4] * 10
    assert learning_rates[25:] == pytest.approx([0.04] * 15, rel=1e-12)
