"""The filters of the first paper's Table 1, which say what counts: arrays in, masks out; applied on request only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prunescope.laws.data import Numbers

Mask = NDArray[np.bool_]

FILTERS = {
    "connected": "networks in which surviving weights still lead from input to output",
    "better-than-chance": "networks whose error is below that of guessing",
    "not-overly-large": "configurations before which growing depth or width starts to raise the unpruned error",
}


def connected(flag: NDArray[np.bool_]) -> Mask:
    """Keep networks in which a path of surviving weights leads from input to output."""
    return np.asarray(flag, bool)


def better_than_chance(error: Numbers, chance: Numbers | float) -> Mask:
    """Keep networks whose error is below ``chance``, the error of guessing: ``1 - 1 / classes``."""
    return np.asarray(error < chance, bool)


def not_overly_large(depth: Numbers, width: Numbers, examples: Numbers, unpruned: Numbers) -> Mask:
    """Keep configurations up to where growing raises the unpruned error.

    Along growing depth (width and examples alike) and along growing width (depth and examples alike) a configuration
    counts up to the first one that the next larger has more unpruned error than; what lies beyond is overly large for
    its number of examples. One value per configuration, each configuration once.
    """
    mask = np.ones(len(unpruned), bool)
    for grown, others in ((depth, (width, examples)), (width, (depth, examples))):
        for chain in _chains(grown, others):
            rises = np.flatnonzero(np.diff(unpruned[chain]) > 0)
            if len(rises):
                mask[chain[rises[0] + 1 :]] = False
    return mask


def _chains(grown: Numbers, others: tuple[Numbers, Numbers]) -> list[NDArray[np.int64]]:
    """Return, for each combination of the others, positions in growing order."""
    order = np.lexsort((grown, *others))
    first, second = others[0][order], others[1][order]
    cuts = np.flatnonzero((first[1:] != first[:-1]) | (second[1:] != second[:-1])) + 1
    return list(np.split(order, cuts))
