"""The masks of one network: which weights survive, layer by layer, and as bits on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from prunescope.errors import DamageError
from prunescope.nets.outline import ParameterOutline
from prunescope.prune.select import Flags


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
