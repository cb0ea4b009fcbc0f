"""Synaptic flow: how much of a signal that is positive everywhere runs through a weight (SynFlow, Tanaka et al. 2020).

No data plays a part. The network is made linear and positive: weights and scales by their absolute value,
normalisations by their running variance as in evaluation, every shift (bias, running mean) at zero. Its authors compute
it in evaluation mode at the start of training, where shifts are zero; in a trained network they would cut the flow off.
"""

from __future__ import annotations

import torch
from torch import Tensor

from prunescope.prune.probe import Probe

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
