"""What a score is shown of a trained network: the network itself, and some of its training examples.

Our choice, which the papers of the scores leave open or make before training: a hundred examples for each class, or all
where there are fewer, drawn anew at each rung from those that the network was trained on, class-blind, with the labels
trained on, as they are, nothing moved. SNIP and GraSP were published with one batch and with ten examples a class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from prunescope.prune import Masks, Probe
from prunescope.train.rung import CohortMember
from prunescope.train.training_context import TrainingContext

PER_CLASS = 100


def probe_of(
    bench: TrainingContext, member: CohortMember, tensors: Mapping[str, np.ndarray], masks: Masks, rung: int
) -> Probe:
    """Return a member's network as a score for the masks of ``rung`` may ask it.

    Parameters
    ----------
    tensors
        Its parameters and buffers.
    """
    there = len(member.share.train)
    count = min(there, PER_CLASS * bench.dataset.classes)
    chosen = member.chance.shown(rung, there)[:count]
    places = torch.from_numpy(member.share.train[chosen]).to(bench.device)
    labels = torch.from_numpy(member.share.labels[chosen]).to(bench.device)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for first in range(0, count, bench.recipe.batch):
            part = slice(first, first + bench.recipe.batch)
            yield bench.train_pictures.take(places[None, part])[0], labels[part]

    ones = torch.ones_like(bench.train_pictures.take(places[None, :1])[0])
    return Probe(bench.network, bench.stacked([tensors]), masks, batches, count, ones)
