"""Members of families and inputs for them, small and in double precision."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from prunescope.nets import Network
from prunescope.nets.cohort import Layout

ALONE = Layout()


def stacked(net: Network, members: int, seed: int = 0) -> dict[str, Tensor]:
    """Draw several members, with running statistics and shifts that are not what they start from."""
    rng = np.random.default_rng(seed)
    drawn = [net.start(rng) for _ in range(members)]
    tensors = {}
    for name in drawn[0]:
        together = np.stack([member[name] for member in drawn])
        if name.endswith((".running_mean", ".bias")):
            together = together + 0.3 * rng.standard_normal(together.shape)
        elif name.endswith(".running_var"):
            together = together * rng.uniform(0.5, 2, together.shape)
        values = torch.from_numpy(together)
        tensors[name] = values.double() if values.is_floating_point() else values
    return tensors


def inputs(net: Network, shape: tuple[int, int, int], members: int, batch: int = 5) -> Tensor:
    """Draw inputs as the network takes them: rows, or pictures with channels last."""
    x = torch.randn(members, batch, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(members))
    return x.permute(0, 1, 3, 4, 2).contiguous() if net.pictures else x.flatten(2)


def of_member(tensors: Mapping[str, Tensor], member: int) -> dict[str, Tensor]:
    """Return copies of one member's tensors."""
    return {name: values[member].clone() for name, values in tensors.items()}


def computed(
    net: Network, tensors: Mapping[str, Tensor], x: Tensor, training: bool, layout: Layout
) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """Return logits, gradients of a weighted sum of them, and the buffers afterwards."""
    names = [parameter.name for parameter in net.outline.parameters]
    copies = {name: values.clone().requires_grad_(name in names) for name, values in tensors.items()}
    logits = net.logits(copies, x, training, layout)
    weights = torch.linspace(-1, 2, logits[0].numel(), dtype=logits.dtype).view_as(logits[0])
    gradients = torch.autograd.grad((logits * weights).sum(), [copies[name] for name in names])
    buffers = {name: values for name, values in copies.items() if name not in names}
    return logits.detach(), dict(zip(names, gradients, strict=True)), buffers


def close(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    """Hold tensors by name against each other, to rounding of the largest number that went through the network."""
    assert list(one) == list(other)
    largest = max((float(item.detach().abs().max()) for item in one.values()), default=1.0)
    for name in one:
        torch.testing.assert_close(
            one[name], other[name], rtol=1e-9, atol=1e-11 * max(1.0, largest), msg=f"{name} is not the same"
        )
