"""The learning rate at each step of a training."""

from __future__ import annotations

from prunescope.study.sections import Recipe


def rate(recipe: Recipe, epoch: int, step: int, steps: int) -> float:
    """Return the learning rate at a step of an epoch, both from 0, of ``steps`` steps an epoch.

    Warm-up grows by the same amount with every step and reaches the full rate at its last one.
    """
    passed = sum(epoch >= milestone for milestone in recipe.milestones)
    full = recipe.learning_rate * recipe.factor**passed
    if epoch < recipe.warmup:
        return full * (epoch * steps + step + 1) / (recipe.warmup * steps)
    return full
