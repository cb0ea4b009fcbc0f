"""Scores from gradients of the loss on training examples: SNIP's and GraSP's.

Both methods were published for networks before training; here they rank the weights of a trained one. Sums go batch by
batch, so no more than a batch is in memory.
"""

from __future__ import annotations

import torch
from torch import Tensor

from prunescope.prune.probe import Probe


def gradient(probe: Probe) -> dict[str, Tensor]:
    """Score by ``|w dL/dw|``, what removing a weight changes in the loss to first order (SNIP, Lee et al. 2019)."""
    weights = probe.weights()
    slope = _slope(probe, weights)
    return {name: (weight * slope[name]).detach().abs() for name, weight in weights.items()}


def gradient_flow(probe: Probe) -> dict[str, Tensor]:
    """Score by ``w (H g)``: what removing a weight takes, to first order, from half the gradient's squared norm.

    GraSP (Wang et al. 2020) calls ``S = -w (H g)`` and removes the weights with the highest ``S``: those that the
    gradient flow needs least. Scores here keep the highest, hence the other sign.
    """
    weights = probe.weights()
    slope = _slope(probe, weights)
    names = list(weights)
    curved = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for loss in probe.losses(weights):
        gradients = torch.autograd.grad(
            loss, [weights[name] for name in names], create_graph=True, materialize_grads=True
        )
        along = torch.stack(
            [(gradient * slope[name]).sum() for name, gradient in zip(names, gradients, strict=True)]
        ).sum()
        second = torch.autograd.grad(along, [weights[name] for name in names], materialize_grads=True)
        for name, values in zip(names, second, strict=True):
            curved[name] += values
    return {name: (weight * curved[name]).detach() for name, weight in weights.items()}


def _slope(probe: Probe, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the gradient of the mean loss over all examples."""
    names = list(weights)
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for loss in probe.losses(weights):
        gradients = torch.autograd.grad(loss, [weights[name] for name in names], materialize_grads=True)
        for name, gradient in zip(names, gradients, strict=True):
            total[name] += gradient.detach()
    return {name: gradient.detach() for name, gradient in total.items()}
