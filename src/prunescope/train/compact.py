"""What pruning has cut off in a fully connected network, and the smaller network that gives the same results.

A unit that no path of surviving weights leaves cannot change an output: it is left out. A unit that no path reaches
from the input has the same output for every example, since only its bias feeds it; such constant units are computed
once for a whole batch, in a stream beside the examples. Both keep what they would have had: left-out weights only
decay, and constant units are trained like the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Units:
    """Units of one level of a network, chosen member by member and filled up to one number.

    Attributes
    ----------
    places
        ``[R, k]``, which units.
    real
        ``[R, k]``, False where a place is only there to fill up.
    """

    places: Places
    real: Flags

    @property
    def count(self) -> int:
        """How many there are in each member, fillers included."""
        return int(self.places.shape[1])


@dataclass(frozen=True)
class Remaining:
    """What is left of a cohort of fully connected networks.

    Attributes
    ----------
    changing
        At each level, from the input to the output: units on a path from the input to an output.
    constant
        At each level: units whose output is the same for all examples and that an output depends on.
    """

    changing: tuple[Units, ...]
    constant: tuple[Units, ...]

    @property
    def multiplications(self) -> int:
        """Of one example's way through one member."""
        sizes = [units.count for units in self.changing]
        return sum(a * b for a, b in pairwise(sizes))


def remaining(masks: Sequence[Flags]) -> Remaining:
    """Find what is left.

    Parameters
    ----------
    masks
        One for each layer, ``[R, out, in]``, True where a weight survives.
    """
    members, _, inputs = masks[0].shape
    way_in: list[Flags] = [np.ones((members, inputs), bool)]
    for mask in masks:
        way_in.append(np.any(mask & way_in[-1][:, None, :], axis=2))
    way_out: list[Flags] = [np.ones((members, masks[-1].shape[1]), bool)]
    for mask in reversed(masks):
        way_out.insert(0, np.any(mask & way_out[0][:, :, None], axis=1))
    # An output is computed whether or not anything reaches it.
    way_in[-1] = np.ones_like(way_in[-1])
    changing = [_chosen(a & b, 1) for a, b in zip(way_in, way_out, strict=True)]
    constant = [_chosen(~a & b, 0) for a, b in zip(way_in, way_out, strict=True)]
    return Remaining(tuple(changing), tuple(constant))


def _chosen(flags: Flags, least: int) -> Units:
    """Return the places of flags, filled up with place 0 to the most of any member."""
    counts = flags.sum(1)
    most = max(least, int(counts.max()))
    places = np.argsort(~flags, axis=1, kind="stable")[:, :most]
    real = np.arange(most)[None, :] < counts[:, None]
    return Units(np.where(real, places, 0), real)
