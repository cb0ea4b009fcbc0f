"""How much a weight counts, by name. The weights with the lowest scores go first.

A score takes the weights of every prunable layer, and may draw random numbers or ask the trained network (`probe`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from prunescope.errors import Fault, InputError, PrunescopeError, clipped, said
from prunescope.prune.flow import ROUNDS, synaptic_flow
from prunescope.prune.gradients import gradient, gradient_flow
from prunescope.prune.probe import Probe
from prunescope.study.catalogue import is_import_path
from prunescope.study.import_path import own_function

Arrays = Mapping[str, np.ndarray]
Draws = Callable[[], np.random.Generator]
Ask = Callable[[], Probe]
Rank = Callable[[Arrays, Draws, Ask], dict[str, np.ndarray]]
"""From the weights by layer, chance, and the network to ask, to a score for each weight."""


@dataclass(frozen=True)
class Score:
    """How weights are ranked.

    Attributes
    ----------
    rounds
        Steps in which one pruning step is taken, weights ranked anew at each.
    """

    rank: Rank
    rounds: int = 1


def magnitude(weights: Arrays, draws: Draws, ask: Ask) -> dict[str, np.ndarray]:
    """Score by absolute value."""
    del draws, ask
    return {name: np.abs(values) for name, values in weights.items()}


def random(weights: Arrays, draws: Draws, ask: Ask) -> dict[str, np.ndarray]:
    """Score by chance."""
    del ask
    drawn = draws()
    return {name: drawn.random(values.shape) for name, values in weights.items()}


def _asking(measure: Callable[[Probe], Mapping[str, Tensor]]) -> Rank:
    """Return a score that goes by the network alone."""

    def rank(weights: Arrays, draws: Draws, ask: Ask) -> dict[str, np.ndarray]:
        del draws
        scores = measure(ask())
        return {name: scores[name].cpu().numpy() for name in weights}

    return rank


SCORES: dict[str, Score] = {
    "magnitude": Score(magnitude),
    "random": Score(random),
    "gradient": Score(_asking(gradient)),
    "gradient-flow": Score(_asking(gradient_flow)),
    "synaptic-flow": Score(_asking(synaptic_flow), ROUNDS),
}


def score(name: str) -> Score:
    """Return a score by its name, or a user's own by import path: ``package.module:function``.

    A user's function takes the weights by layer, and the network to ask where it has a parameter called ``probe``.
    """
    if name in SCORES:
        return SCORES[name]
    if is_import_path(name):
        return Score(_own(name))
    must = f"must be one of {', '.join(SCORES)}, or package.module:function"
    raise InputError("pruning", [Fault("score", must, clipped(name))])


def _own(path: str) -> Rank:
    function = own_function(path)
    asks = "probe" in inspect.signature(function).parameters

    def rank(weights: Arrays, draws: Draws, ask: Ask) -> dict[str, np.ndarray]:
        del draws
        more = {"probe": ask()} if asks else {}
        try:
            result = function(dict(weights), **more)
        except Exception as trouble:
            raise PrunescopeError(f"{path} failed: {said(trouble)}") from trouble
        if not isinstance(result, Mapping) or set(result) != set(weights):
            raise InputError("pruning", [Fault(path, "must return one array for each layer it is given")])
        scores = {name: _array(result[name]) for name in weights}
        for name, values in weights.items():
            if scores[name].shape != values.shape:
                must = f"must return scores of shape {values.shape} for {name}"
                raise InputError("pruning", [Fault(path, must, str(scores[name].shape))])
        return scores

    return rank


def _array(values: object) -> np.ndarray:
    plain = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
    return np.asarray(plain, float)
