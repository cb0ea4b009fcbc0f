"""Small networks in double precision for scores to ask, and the same loss written out without the project."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from prunescope.nets import network
from prunescope.prune import Masks, Probe, full

EXAMPLES = 12


def probe(family: str = "lenet", density: float = 1.0, batch: int = EXAMPLES, seed: int = 0) -> Probe:
    """Return a network with random weights, statistics and masks, and random examples."""
    depth, width = (3, 0.03) if family == "lenet" else (8, 0.125)
    net = network(family, depth, width, 4, (1, 4, 4))
    rng = np.random.default_rng(seed)
    tensors = {name: torch.from_numpy(np.asarray(values))[None] for name, values in net.start(rng).items()}
    for name, values in tensors.items():
        if name.endswith((".bias", ".running_mean")):
            values.normal_(generator=torch.Generator().manual_seed(seed))
        if name.endswith(".running_var"):
            values.uniform_(0.5, 2, generator=torch.Generator().manual_seed(seed))
    whole = full(net.outline.prunable("all"))
    masks = Masks(whole.layers, rng.random(whole.prunable) < density)
    shape = (EXAMPLES, 4, 4, 1) if net.pictures else (EXAMPLES, 16)
    x = torch.from_numpy(rng.normal(size=shape))
    labels = torch.from_numpy(rng.integers(0, 4, EXAMPLES))

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for first in range(0, EXAMPLES, batch):
            yield x[first : first + batch], labels[first : first + batch]

    return Probe(net, tensors, masks, batches, EXAMPLES, torch.ones_like(x[:1]))


def written_out(net_probe: Probe, weights: dict[str, Tensor]) -> Tensor:
    """Return the mean loss of a LeNet of three layers, by hand."""
    ((x, labels),) = net_probe.batches()
    for layer in ("hidden1", "hidden2", "output"):
        x = x @ weights[f"{layer}.weight"].T + net_probe.tensors[f"{layer}.bias"][0]
        x = x.clamp(min=0) if layer != "output" else x
    return F.cross_entropy(x, labels)
