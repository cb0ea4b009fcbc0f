"""How much a weight counts. A score takes the weights of one layer and says; the lowest go first."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from prunescope.errors import Fault, InputError, PrunescopeError, clipped, said
from prunescope.spec.names import is_import_path
from prunescope.spec.own import own_function

Arrays = Mapping[str, np.ndarray]
Draws = Callable[[], np.random.Generator]
Score = Callable[[Arrays, Draws], dict[str, np.ndarray]]
"""From the weights of every prunable layer, and chance, to a score for each weight."""


def magnitude(weights: Arrays, chance: Draws) -> dict[str, np.ndarray]:
    """Score by absolute value."""
    del chance
    return {name: np.abs(values) for name, values in weights.items()}


def random(weights: Arrays, chance: Draws) -> dict[str, np.ndarray]:
    """Score by chance."""
    drawn = chance()
    return {name: drawn.random(values.shape) for name, values in weights.items()}


SCORES: dict[str, Score] = {"magnitude": magnitude, "random": random}


def score(name: str) -> Score:
    """Return a score by its name, or a user's own by import path: ``package.module:function``, of weights by name."""
    if name in SCORES:
        return SCORES[name]
    if is_import_path(name):
        return _own(name)
    must = f"must be one of {', '.join(SCORES)}, or package.module:function"
    raise InputError("pruning", [Fault("score", must, clipped(name), "Scores from gradients are not built yet.")])


def _own(path: str) -> Score:
    function = own_function(path)

    def scored(weights: Arrays, chance: Draws) -> dict[str, np.ndarray]:
        del chance
        try:
            result = function(dict(weights))
        except Exception as trouble:
            raise PrunescopeError(f"{path} failed: {said(trouble)}") from trouble
        if not isinstance(result, Mapping) or set(result) != set(weights):
            raise InputError("pruning", [Fault(path, "must return one array for each layer it is given")])
        scores = {name: np.asarray(result[name], float) for name in weights}
        for name, values in weights.items():
            if scores[name].shape != values.shape:
                must = f"must return scores of shape {values.shape} for {name}"
                raise InputError("pruning", [Fault(path, must, str(scores[name].shape))])
        return scores

    return scored
