"""Scores of weights by name, and one pruning step: weights are ranked by a score, and the lowest go.

A score takes the weights of every prunable layer. It may draw random numbers, or ask the trained network (`probe`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from prunescope.errors import Fault, InputError, PrunescopeError, clipped, said
from prunescope.prune.masks import Masks, keep_highest
from prunescope.prune.probe import ROUNDS, Probe, gradient, gradient_flow, synaptic_flow
from prunescope.study.catalogue import is_import_path
from prunescope.study.import_path import import_function

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
    asks
        Whether it asks the network.
    """

    rank: Rank
    rounds: int = 1
    asks: bool = False


def _magnitude(weights: Arrays, draws: Draws, ask: Ask) -> dict[str, np.ndarray]:
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
    "magnitude": Score(_magnitude),
    "random": Score(random),
    "gradient": Score(_asking(gradient), asks=True),
    "gradient-flow": Score(_asking(gradient_flow), asks=True),
    "synaptic-flow": Score(_asking(synaptic_flow), ROUNDS, asks=True),
}


def score(name: str) -> Score:
    """Return a score by its name, or a user's own by import path: ``package.module:function``.

    A user's function takes the weights by layer, and the network to ask where it has a parameter called ``probe``.
    """
    if name in SCORES:
        return SCORES[name]
    if is_import_path(name):
        return score_of(import_function(name), name)
    must = f"must be one of {', '.join(SCORES)}, or package.module:function"
    raise InputError("pruning", [Fault("score", must, clipped(name))])


def score_of(function: Callable[..., object], path: str) -> Score:
    """Return the score of a user's function; ``path`` is what messages call it."""
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

    return Score(rank, asks=asks)


def _array(values: object) -> np.ndarray:
    plain = values.detach().cpu().double().numpy() if isinstance(values, Tensor) else values
    return np.asarray(plain, float)


def nobody_to_ask(masks: Masks) -> Probe:
    """Refuse to be asked."""
    del masks
    raise PrunescopeError("this score asks the network, and there is none to ask")


def prune(
    masks: Masks,
    weights: Mapping[str, np.ndarray],
    *,
    keep: Callable[[int], int],
    by: str | Score,
    scope: str,
    draws: Draws,
    probe: Callable[[Masks], Probe] = nobody_to_ask,
) -> Masks:
    """Return the masks after a pruning step: exactly ``keep(N)`` of the N prunable weights survive.

    A score that ranks anew in several rounds comes there by equal factors from round to round.

    Parameters
    ----------
    weights
        Trained weights by the layers' names.
    keep
        How many survive of that many: of the network's, or of a layer's where the scope is ``layer``.
    by
        A score, or its name: of `scores.SCORES`, or a user's own by import path.
    scope
        ``global``: ranks over the whole network; ``layer``: each layer keeps its own share.
    draws
        Gives what a score draws from, where it draws.
    probe
        Gives the network under masks, for a score that asks it.
    """
    ranked = score(by) if isinstance(by, str) else by
    layers = {layer.name: weights[layer.name] for layer in masks.layers}
    sizes = [masks.prunable] if scope == "global" else [layer.size for layer in masks.layers]
    first = _counts(masks, sizes)
    last = [keep(size) for size in sizes]
    for round_ in range(1, ranked.rounds + 1):
        now = masks
        by_layer = ranked.rank(layers, draws, lambda now=now: probe(now))  # type: ignore[misc]
        scores = np.concatenate([by_layer[layer.name].reshape(-1) for layer in masks.layers])
        counts = [_between(*ends, round_, ranked.rounds) for ends in zip(first, last, strict=True)]
        edges = np.cumsum(sizes)[:-1]
        groups = zip(np.split(scores, edges), np.split(masks.flat, edges), counts, strict=True)
        masks = Masks(masks.layers, np.concatenate([keep_highest(*group) for group in groups]))
    return masks


def _counts(masks: Masks, sizes: list[int]) -> list[int]:
    """Return how many weights survive in each part that is ranked for itself."""
    return [int(np.count_nonzero(group)) for group in np.split(masks.flat, np.cumsum(sizes)[:-1])]


def _between(first: int, last: int, round_: int, rounds: int) -> int:
    """Return the count after some of several parts of the way from one count to a lower one."""
    if round_ == rounds or not first:
        return last
    left: float = (last / first) ** (round_ / rounds)
    return max(last, round(first * left))
