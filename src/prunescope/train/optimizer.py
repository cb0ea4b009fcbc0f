"""Update rules over the stacked parameters of a cohort, as in torch.optim but with masks, and their learning rates.

A pruned weight stays zero: parameters are multiplied by their masks after every step, whatever momentum and weight
decay have done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from prunescope.study.sections import Recipe

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class Optimizer(Protocol):
    """Changes parameters in place."""

    def step(self, gradients: Sequence[Tensor], rate: float) -> None:
        """Take one step; the gradients are used up."""


class _Masked:
    """Parameters, and which of them have masks."""

    def __init__(self, parameters: Sequence[Tensor], masks: Sequence[Tensor | None]) -> None:
        self.parameters = list(parameters)
        self.masked = [parameter for parameter, mask in zip(parameters, masks, strict=True) if mask is not None]
        self.masks = [mask for mask in masks if mask is not None]

    def zero_pruned(self) -> None:
        if self.masks:
            torch._foreach_mul_(self.masked, self.masks)


class SGD:
    """Stochastic gradient descent with momentum, Nesterov's form of it, and weight decay."""

    def __init__(self, recipe: Recipe, parameters: Sequence[Tensor], masks: Sequence[Tensor | None]) -> None:
        self._masked = _Masked(parameters, masks)
        self._momentum = recipe.momentum
        self._nesterov = recipe.nesterov
        self._decay = recipe.weight_decay
        self._velocity: list[Tensor] | None = None

    def step(self, gradients: Sequence[Tensor], rate: float) -> None:
        """Take one step; the gradients are used up."""
        parameters, change = self._masked.parameters, list(gradients)
        if self._decay:
            torch._foreach_add_(change, parameters, alpha=self._decay)
        if self._momentum:
            if self._velocity is None:  # as torch starts it: the first gradient, not scaled
                self._velocity = [values.clone() for values in change]
            else:
                torch._foreach_mul_(self._velocity, self._momentum)
                torch._foreach_add_(self._velocity, change)
            if self._nesterov:
                torch._foreach_add_(change, self._velocity, alpha=self._momentum)
            else:
                change = self._velocity
        torch._foreach_add_(parameters, change, alpha=-rate)
        self._masked.zero_pruned()


class Adam:
    """Adam (Kingma and Ba 2015) with torch's defaults; weight decay is added to the gradient."""

    def __init__(self, recipe: Recipe, parameters: Sequence[Tensor], masks: Sequence[Tensor | None]) -> None:
        self._masked = _Masked(parameters, masks)
        self._decay = recipe.weight_decay
        self._mean = [torch.zeros_like(parameter) for parameter in parameters]
        self._square = [torch.zeros_like(parameter) for parameter in parameters]
        self._steps = 0

    def step(self, gradients: Sequence[Tensor], rate: float) -> None:
        """Take one step; the gradients are used up."""
        parameters, change = self._masked.parameters, list(gradients)
        first, second = BETAS
        self._steps += 1
        if self._decay:
            torch._foreach_add_(change, parameters, alpha=self._decay)
        torch._foreach_lerp_(self._mean, change, 1 - first)
        torch._foreach_mul_(self._square, second)
        torch._foreach_addcmul_(self._square, change, change, 1 - second)
        below = torch._foreach_sqrt(self._square)
        torch._foreach_div_(below, (1 - second**self._steps) ** 0.5)
        torch._foreach_add_(below, EPSILON)
        torch._foreach_addcdiv_(parameters, self._mean, below, -rate / (1 - first**self._steps))
        self._masked.zero_pruned()


def optimizer(recipe: Recipe, parameters: Sequence[Tensor], masks: Sequence[Tensor | None]) -> Optimizer:
    """Return the update rule of a recipe, started fresh."""
    rule = SGD if recipe.optimizer == "sgd" else Adam
    return rule(recipe, parameters, masks)


def decayed(recipe: Recipe, rates: Sequence[float]) -> float:
    """Return what becomes, under SGD, of a parameter 1 that no gradient reaches: weight decay alone."""
    value, velocity = 1.0, None
    for rate in rates if recipe.weight_decay else ():
        change = recipe.weight_decay * value
        if recipe.momentum:
            velocity = change if velocity is None else recipe.momentum * velocity + change
            change = change + recipe.momentum * velocity if recipe.nesterov else velocity
        value -= rate * change
    return value


def rate(recipe: Recipe, epoch: int, step: int, steps: int) -> float:
    """Return the learning rate at a step of an epoch, both from 0, of ``steps`` steps an epoch.

    Warm-up grows by the same amount with every step and reaches the full rate at its last one.
    """
    passed = sum(epoch >= milestone for milestone in recipe.milestones)
    full = recipe.learning_rate * recipe.factor**passed
    if epoch < recipe.warmup:
        return full * (epoch * steps + step + 1) / (recipe.warmup * steps)
    return full
