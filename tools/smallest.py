"""Which members of a family give the smallest network of some error: what was measured, and what a law expects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from prunescope.laws.data import GroupData, Numbers

# How many bounds on the error, evenly spaced on a logarithmic axis, between the least and the largest error.
BOUNDS = 30


@dataclass(frozen=True)
class Sizes:
    """The members of a family with one number of examples.

    Attributes
    ----------
    members
        How many there are.
    better_ones
        Of each member's unpruned error, whether the smallest network of at most this error is of a member whose own
        unpruned error is lower.
    largest_needs
        Parameters of the largest member, pruned, beside those of the smallest network: the median over unpruned errors
        that the largest member reaches. None where it reaches none.
    estimated
        Parameters of the smallest network that a law expects beside those of the smallest measured, for errors that
        both reach; empty without a law.
    """

    members: int
    better_ones: tuple[bool, ...]
    largest_needs: float | None
    estimated: tuple[float, ...]


def sizes_of(group: GroupData, parameters: Numbers, expected: Numbers | None = None) -> Iterator[Sizes]:
    """Yield what each number of examples says of the smallest networks.

    Parameters
    ----------
    parameters
        What the network of each point has left.
    expected
        The errors that a law expects of the points.
    """
    for examples in np.unique(group.examples):
        there = group.examples == examples
        yield _sizes(group.pick(there), parameters[there], None if expected is None else expected[there])


def _sizes(group: GroupData, remaining: Numbers, expected: Numbers | None) -> Sizes:
    unpruned = np.array([group.unpruned[points[0]] for points in group.points_of])
    largest = group.cell == group.cell[np.argmax(group.size)]
    better, needs = [], []
    for error in unpruned:
        smallest = _smallest(group.error, remaining, error)
        if smallest is None:
            continue
        better.append(bool(group.unpruned[smallest] < error))
        of_largest = _smallest(np.where(largest, group.error, np.inf), remaining, error)
        if of_largest is not None:
            needs.append(float(remaining[of_largest] / remaining[smallest]))
    estimated = []
    if expected is not None:
        for bound in np.geomspace(group.error.min(), group.error.max(), BOUNDS):
            both = [_smallest(errors, remaining, bound) for errors in (expected, group.error)]
            if None not in both:
                estimated.append(float(remaining[both[0]] / remaining[both[1]]))
    return Sizes(len(unpruned), tuple(better), float(np.median(needs)) if needs else None, tuple(estimated))


def _smallest(error: Numbers, remaining: Numbers, bound: float) -> int | None:
    """Return the point with the fewest parameters whose error is at most a bound."""
    enough = np.flatnonzero(error <= bound)
    return int(enough[np.argmin(remaining[enough])]) if len(enough) else None
