"""EL2N: how far a network's predictions are from an example's label (Paul et al. 2021).

``|| softmax(f(x)) - onehot(y) ||_2`` with the label trained on, in evaluation mode, on examples as they are. The mean
over several networks, taken early in training, is an example's score.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from prunescope.data import Subsample
from prunescope.train.rung import evaluated
from prunescope.train.training_context import TrainingContext


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
