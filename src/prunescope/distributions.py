"""The normal distribution and Student's t: so that nobody must install a library for a few functions."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

# Degrees of freedom from which on the quantile of Student's t comes of an expansion.
MANY_FREE = 200
# Between the knots of a table it is taken for straight, which is right to 5e-7.
REACH, KNOTS = 8.0, 4001


def normal_quantile(level: float) -> float:
    """Return how many standard deviations to each side hold a share ``level`` of the normal distribution."""
    return NormalDist().inv_cdf(0.5 + level / 2)


@lru_cache(maxsize=4096)
def quantile(level: float, freedom: int) -> float:
    """Return the same of Student's t, for whole degrees of freedom."""
    z = normal_quantile(level)
    if freedom >= MANY_FREE:
        # Cornish and Fisher's expansion (Abramowitz and Stegun 26.7.5).
        first = (z**3 + z) / 4
        second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
        third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
        return z + first / freedom + second / freedom**2 + third / freedom**3
    low, high = 0.0, 1.0
    while share_within(high, freedom) < level:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if share_within(middle, freedom) < level else (low, middle)
    return (low + high) / 2


def share_within(t: float, freedom: int) -> float:
    """Return the share of Student's t within ``t`` to either side of 0 (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    if math.isinf(t):
        return 1.0
    angle = math.atan(abs(t) / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term, total = (cosine, cosine if freedom > 1 else 0.0) if odd else (1.0, 1.0)
    for power in range(3 if odd else 2, freedom - 1, 2):
        term *= cosine**2 * (power - 1) / power
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def normal_cdf(z: Numbers) -> Numbers:
    """Return the probability of a standard normal number below ``z``."""
    knots, values = _table()
    return np.asarray(np.interp(z, knots, values))


@lru_cache(maxsize=1)
def _table() -> tuple[Numbers, Numbers]:
    knots = np.linspace(-REACH, REACH, KNOTS)
    return knots, np.array([NormalDist().cdf(knot) for knot in knots.tolist()])


def draw_symmetric(mean: Numbers, root: Numbers, count: int, seed: int) -> Numbers:
    """Draw ``[count, values]`` with a covariance of ``root root'``; in symmetric pairs.

    So their mean is exact.
    """
    half = np.random.default_rng(seed).standard_normal(((count + 1) // 2, len(mean)))
    return np.asarray(mean + np.concatenate([half, -half])[:count] @ root.T)
