"""Which weights survive: masks, the selection of weights by exact rank, and masks as bits on disk.

Counts come from the dense network, ``round(N (1 - f)^level)``, so that rounding does not add up along a ladder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import DamageError, PrunescopeError
from prunescope.nets.outline import ParameterOutline

Flags = NDArray[np.bool_]
Scores = NDArray[np.floating]


@dataclass(frozen=True)
class Masks:
    """Survivors among the prunable weights of one network.

    Attributes
    ----------
    layers
        The prunable parameters in the network's order, which is the order of ranks among equals.
    flat
        True where a weight survives, all layers one after another.
    """

    layers: tuple[ParameterOutline, ...]
    flat: Flags

    @cached_property
    def kept(self) -> int:
        """Surviving weights, counted."""
        return int(np.count_nonzero(self.flat))

    @property
    def prunable(self) -> int:
        """Prunable weights."""
        return self.flat.size

    def by_name(self) -> dict[str, Flags]:
        """Return one mask for each layer, in its shape."""
        return _by_name(self.layers, self.flat)

    def within(self, other: Masks) -> bool:
        """Whether every weight that survives here survives there."""
        return not bool((self.flat & ~other.flat).any())

    def packed(self) -> np.ndarray:
        """Return the mask as bytes, eight weights in each."""
        return np.packbits(self.flat)


def stacked(members: Sequence[Masks]) -> dict[str, Flags]:
    """Return the masks of several members of one shape, laid on top of each other, layer by layer."""
    return _by_name(members[0].layers, np.stack([masks.flat for masks in members]))


def _by_name(layers: Sequence[ParameterOutline], flat: Flags) -> dict[str, Flags]:
    """Cut the last axis into layers, each in its shape."""
    masks, first = {}, 0
    for layer in layers:
        last = first + layer.size
        masks[layer.name] = flat[..., first:last].reshape(*flat.shape[:-1], *layer.shape)
        first = last
    return masks


def full(layers: Sequence[ParameterOutline]) -> Masks:
    """Return masks that keep everything."""
    return Masks(tuple(layers), np.ones(sum(layer.size for layer in layers), bool))


def unpacked(layers: Sequence[ParameterOutline], packed: np.ndarray) -> Masks:
    """Return masks from the bytes of `Masks.packed`."""
    size = sum(layer.size for layer in layers)
    if packed.dtype != np.uint8 or packed.shape != ((size + 7) // 8,):
        raise DamageError(f"a mask of {size:,} weights must be {(size + 7) // 8:,} bytes, not {packed.size:,}")
    return Masks(tuple(layers), np.unpackbits(packed, count=size).astype(bool))


def kept_count(prunable: int, fraction: float, level: int) -> int:
    """Return how many of ``prunable`` weights survive at a level."""
    return round(prunable * (1 - fraction) ** level)


def keep_highest(scores: Scores, mask: Flags, count: int) -> Flags:
    """Return the mask of the ``count`` survivors with the highest scores; of equals, those further on survive.

    Parameters
    ----------
    scores
        One number for each weight; those of pruned weights do not matter.
    mask
        The weights that survive so far. No other can come back.
    """
    places = np.flatnonzero(mask)
    if count > len(places):
        raise PrunescopeError(f"{count:,} weights cannot be kept of {len(places):,}")
    left = scores.reshape(-1)[places]
    if not np.isfinite(left).all():
        raise PrunescopeError("scores of weights are infinite or no numbers: the network has diverged")
    remove = len(places) - count
    survivors = np.zeros(mask.size, bool)
    if remove == 0:
        survivors[places] = True
    elif count:
        threshold = np.partition(left, remove - 1)[remove - 1]
        gone = left < threshold
        equal = np.flatnonzero(left == threshold)
        gone[equal[: remove - int(gone.sum())]] = True
        survivors[places[~gone]] = True
    return survivors.reshape(mask.shape)
