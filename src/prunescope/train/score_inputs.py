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
    context: TrainingContext, member: CohortMember, tensors: Mapping[str, np.ndarray], masks: Masks, rung: int
) -> Probe:
    """Return a member's network as a score for the masks of ``rung`` may ask it.

    Parameters
    ----------
    tensors
        Its parameters and buffers.
    """
    there = len(member.subsample.train)
    count = min(there, PER_CLASS * context.dataset.classes)
    chosen = member.seeding.shown(rung, there)[:count]
    places = torch.from_numpy(member.subsample.train[chosen]).to(context.device)
    labels = torch.from_numpy(member.subsample.labels[chosen]).to(context.device)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for first in range(0, count, context.recipe.batch):
            batch = slice(first, first + context.recipe.batch)
            yield context.train_pictures.take(places[None, batch])[0], labels[batch]

    ones = torch.ones_like(context.train_pictures.take(places[None, :1])[0])
    return Probe(context.network, context.stacked([tensors]), masks, batches, count, ones)
