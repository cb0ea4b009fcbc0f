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


def label_distances(bench: TrainingContext, share: Subsample, state: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the distance of each of R networks on each training example, ``[R, n]``.

    Parameters
    ----------
    state
        Parameters and buffers, the networks' stacked.
    """
    tensors = {name: torch.from_numpy(each).to(bench.device) for name, each in state.items()}
    members = len(next(iter(tensors.values())))
    engine = bench.engine(tensors, {})
    source = bench.train_pictures.of(torch.from_numpy(share.train.copy()).to(bench.device).expand(members, -1))
    labels = torch.from_numpy(share.labels.copy()).to(bench.device).expand(members, -1)
    found = np.empty((members, len(share.train)))
    for part, logits, answers in evaluated(bench, engine, source, labels):
        apart = torch.softmax(logits, -1) - torch.nn.functional.one_hot(answers, logits.shape[-1])
        found[:, part] = apart.norm(dim=-1).cpu().numpy()
    return found
