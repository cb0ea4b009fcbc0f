"""What scores are computed from: a trained network for scores of weights, its predictions for scores of examples.

A score of weights is shown a hundred examples for each class, or all where there are fewer. They are drawn anew at each
rung from those that the network was trained on, whatever their class, with the labels trained on and nothing moved. The
papers leave this open or choose before training: SNIP took one batch, GraSP ten examples a class.

EL2N (Paul et al. 2021) scores an example by ``|| softmax(f(x)) - onehot(y) ||_2`` with the label trained on, in
evaluation mode, with nothing moved: the mean over several networks early in training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from prunescope.data import Subsample
from prunescope.prune import Masks, Probe
from prunescope.train.rung import CohortMember, evaluated
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


def label_distances(context: TrainingContext, subsample: Subsample, state: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the distance of each of R networks on each training example, ``[R, n]``.

    Parameters
    ----------
    state
        Parameters and buffers, the networks' stacked.
    """
    tensors = {name: torch.from_numpy(values).to(context.device) for name, values in state.items()}
    members = len(next(iter(tensors.values())))
    engine = context.engine(tensors, {})
    source = context.train_pictures.of(torch.from_numpy(subsample.train.copy()).to(context.device).expand(members, -1))
    labels = torch.from_numpy(subsample.labels.copy()).to(context.device).expand(members, -1)
    distances = np.empty((members, len(subsample.train)))
    for batch, logits, answers in evaluated(context, engine, source, labels):
        difference = torch.softmax(logits, -1) - torch.nn.functional.one_hot(answers, logits.shape[-1])
        distances[:, batch] = difference.norm(dim=-1).cpu().numpy()
    return distances
