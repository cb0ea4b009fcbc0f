"""Quantiles of Student's t for whole degrees of freedom, which is all that intervals here need of statistics.

Written out so that nobody must install a library for one function; tests hold it against SciPy's.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from prunescope.laws.batch import Numbers

# Degrees of freedom from which on the expansion is good to nine digits.
MANY = 200


def reach(level: float, freedom: Numbers | float) -> Numbers:
    """Return how many standard deviations to each side hold a share ``level`` of Student's t."""
    values, place = np.unique(np.asarray(freedom), return_inverse=True)
    found = np.array([_reach(level, max(1, round(float(each)))) for each in values])
    return found[place.reshape(np.shape(freedom))]


def normal_reach(level: float) -> float:
    """Return the same for the normal distribution."""
    return NormalDist().inv_cdf(0.5 + level / 2)


@lru_cache(maxsize=4096)
def _reach(level: float, freedom: int) -> float:
    z = normal_reach(level)
    if freedom >= MANY:
        # Cornish and Fisher's expansion (Abramowitz and Stegun 26.7.5).
        first = (z**3 + z) / 4
        second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
        third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
        return z + first / freedom + second / freedom**2 + third / freedom**3
    low, high = 0.0, 1.0
    while _within(high, freedom) < level:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < level else (low, middle)
    return (low + high) / 2


def _within(t: float, freedom: int) -> float:
    """Return the probability of lying within ``t`` of 0 (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term, total = (cosine, cosine if freedom > 1 else 0.0) if odd else (1.0, 1.0)
    for power in range(3 if odd else 2, freedom - 1, 2):
        term *= cosine**2 * (power - 1) / power
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
