"""From the masks of one level to those of another: weights are ranked by a score, and the lowest go."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from prunescope.errors import PrunescopeError
from prunescope.prune.masks import Masks
from prunescope.prune.probe import Probe
from prunescope.prune.scores import Draws, score
from prunescope.prune.select import keep_highest, kept_count


def _nobody(masks: Masks) -> Probe:
    del masks
    raise PrunescopeError("this score asks the network, and there is none to ask")


def prune(
    masks: Masks,
    weights: Mapping[str, np.ndarray],
    *,
    level: int,
    fraction: float,
    by: str,
    scope: str,
    draws: Draws,
    probe: Callable[[Masks], Probe] = _nobody,
) -> Masks:
    """Return the masks of a level: exactly ``round(N (1 - fraction)^level)`` of the N prunable weights survive.

    A score that ranks anew in several rounds comes there by equal factors from round to round.

    Parameters
    ----------
    weights
        Trained weights by the layers' names.
    by
        A score of `scores.SCORES`, or a user's own by import path.
    scope
        ``global``: ranks over the whole network; ``layer``: each layer keeps its own share.
    draws
        Gives what a score draws from, where it draws.
    probe
        Gives the network under masks, for a score that asks it.
    """
    ranked = score(by)
    layers = {layer.name: weights[layer.name] for layer in masks.layers}
    sizes = [masks.prunable] if scope == "global" else [layer.size for layer in masks.layers]
    first = _counts(masks, sizes)
    last = [kept_count(size, fraction, level) for size in sizes]
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
