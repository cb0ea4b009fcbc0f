"""A trained network that scores can ask, and the scores that ask it: SNIP's, GraSP's and SynFlow's.

One network at a time, in evaluation mode: normalisations use their running statistics, so how examples are batched
changes nothing but rounding. All three methods were published for networks before training; here they rank the weights
of a trained one. Sums go batch by batch, so that no more than a batch is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from prunescope.nets.cohort import Layout
from prunescope.prune.masks import Masks


class Asked(Protocol):
    """What scores need of a network."""

    def logits(self, tensors: Mapping[str, Tensor], x: Tensor, training: bool, layout: Layout) -> Tensor:
        """Return the logits ``[R, B, classes]`` of stacked members."""
        ...


Batches = Callable[[], Iterable[tuple[Tensor, Tensor]]]
"""Gives inputs and labels of training examples, batch by batch, the same each time."""


@dataclass(frozen=True)
class Probe:
    """One network and training examples.

    Attributes
    ----------
    tensors
        Parameters and buffers by name, ``[1, ...]`` each.
    masks
        Which prunable weights survive.
    examples
        How many training examples there are.
    ones
        An input of ones, as the network takes it, in a batch of one.
    """

    network: Asked
    tensors: Mapping[str, Tensor]
    masks: Masks
    batches: Batches
    examples: int
    ones: Tensor

    def weights(self) -> dict[str, Tensor]:
        """Return the prunable weights by layer, pruned ones zero: copies that gradients reach."""
        masks = self.masks.by_name()
        weights = {}
        for name, mask in masks.items():
            weight = self.tensors[name][0].detach().clone()
            weights[name] = (weight * torch.from_numpy(mask).to(weight.device, weight.dtype)).requires_grad_()
        return weights

    def logits(self, weights: Mapping[str, Tensor], x: Tensor, others: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return the logits ``[B, classes]`` of inputs under these weights, in evaluation mode.

        Parameters
        ----------
        others
            Parameters and buffers ``[1, ...]`` to use instead of the network's own.
        """
        everything = {
            **self.tensors,
            **(others or {}),
            **{name: weight.unsqueeze(0) for name, weight in weights.items()},
        }
        return self.network.logits(everything, x.unsqueeze(0), False, Layout())[0]

    def losses(self, weights: Mapping[str, Tensor]) -> Iterator[Tensor]:
        """Yield each batch's part of the mean cross-entropy over all examples; together they are `loss`."""
        for x, labels in self.batches():
            yield F.cross_entropy(self.logits(weights, x), labels, reduction="sum") / self.examples

    def loss(self, weights: Mapping[str, Tensor]) -> Tensor:
        """Return the mean cross-entropy over all examples."""
        return torch.stack(list(self.losses(weights))).sum()


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


ROUNDS = 100
"""Small steps in which one pruning step is taken, scores computed anew at each, as its authors do."""


def synaptic_flow(probe: Probe) -> dict[str, Tensor]:
    """Score by ``|w| dR/d|w|``, with R the sum of the outputs of an input of ones; in double precision."""
    weights = {name: weight.detach().double().abs().requires_grad_() for name, weight in probe.weights().items()}
    others = {name: _positive(name, values) for name, values in probe.tensors.items() if name not in weights}
    flow = probe.logits(weights, probe.ones.double(), others).sum()
    gradients = torch.autograd.grad(flow, list(weights.values()), materialize_grads=True)
    return {
        name: (weight * gradient).detach() for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
    }


def _positive(name: str, values: Tensor) -> Tensor:
    """Return a parameter or buffer without its sign; shifts, by the names that torch gives them, as zero."""
    if not values.is_floating_point():
        return values
    shift = name.endswith((".bias", ".running_mean"))
    return torch.zeros_like(values, dtype=torch.float64) if shift else values.detach().double().abs()
