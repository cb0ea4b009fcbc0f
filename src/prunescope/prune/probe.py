"""A trained network that a score may ask: its logits, its loss on training examples, with gradients.

One network at a time, in evaluation mode, so that a normalisation goes by its running statistics and the batches that
examples come in change nothing but rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from prunescope.nets import Network
from prunescope.nets.cohort import Layout
from prunescope.prune.masks import Masks

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

    network: Network
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
