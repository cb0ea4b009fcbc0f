"""Student's t distribution, for whole degrees of freedom: so that nobody must install a library for one function."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

# Degrees of freedom from which on the quantile comes of an expansion.
MANY_FREE = 200


def normal_quantile(level: float) -> float:
    """Return how many standard deviations to each side hold a share ``level`` of the normal distribution."""
    return NormalDist().inv_cdf(0.5 + level / 2)


@lru_cache(maxsize=4096)
def quantile(level: float, freedom: int) -> float:
    """Return the same of Student's t."""
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
    """Return the share within ``t`` to either side of 0 (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
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
